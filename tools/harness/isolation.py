"""A run in namespaces of its own: what it mounts, which interfaces it makes and which processes it starts are seen by
nobody else, and are gone when it ends, however it ends.

Root is enough for everything here. A user who is not root gets the same by a user namespace, where the system allows
it, but no block devices.
"""

import os
import shutil
import subprocess
import sys

_MARK = "OVERHAND_ISOLATED"
_UNSHARE = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child",
            "--mount-proc"]


def isolated():
    """Whether this process has namespaces of its own."""
    return _MARK in os.environ


def enter():
    """Starts this program again in namespaces of its own, if the system allows it, and then does not return. Returns
    in the isolated program, and where there is no such thing: why, or None."""
    if isolated():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        # The names of network namespaces, and lock files, live here.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        return None
    missing = [tool for tool in ("unshare", "ip", "mount") if not shutil.which(tool)]
    if missing:
        return f"there is no {missing[0]}"
    command = _UNSHARE if os.geteuid() == 0 else [*_UNSHARE, "--user", "--map-root-user"]
    tried = subprocess.run([*command, "true"], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        return tried.stderr.strip()
    sys.stdout.flush()
    os.execvpe(command[0], [*command, sys.executable, *sys.argv], {**os.environ, _MARK: "1"})


def block_devices():
    """Whether files can be mounted as disks."""
    return isolated() and subprocess.run(["losetup", "-f"], capture_output=True).returncode == 0 and _mounts()


def _mounts():
    # A user namespace shows the loop devices, but can't use them.
    with open("/proc/self/uid_map", encoding="ascii") as mapping:
        return mapping.read().split()[:2] == ["0", "0"]
