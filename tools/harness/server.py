"""Processes of `overhand`, and `overhand standalone` as one of them."""

import contextlib
import json
import pathlib
import select
import subprocess

from . import lines


def start(command, log, ready_within=60):
    """Starts a server process and waits for the line that says that it is ready; its errors go to `log`. None if it did
    not get ready in time."""
    with open(log, "ab") as errors:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=errors)
    readable, _, _ = select.select([process.stdout], [], [], ready_within)
    if readable and process.stdout.readline():
        return process
    stop(process, 1)
    return None


def stop(process, within=60):
    """Ends a process as its owner would, by SIGTERM; it is killed if that takes too long. Returns its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def status(coordinator):
    """What `overhand status --json` says."""
    command = [str(lines.overhand_binary()), "status", "--coordinator", coordinator, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=30).stdout)


class Server:
    """A running server on ports of its own choice; `coordinators` is what spark.overhand.coordinators takes."""

    def __init__(self, data_dir, *flags, log, ready_within=60):
        self.data_dir = pathlib.Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [lines.overhand_binary(), "standalone", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0",
                   *flags]
        self.process = start(command, log, ready_within)
        if self.process is None:
            raise SystemExit(f"the server did not get ready within {ready_within} s, see {log}")
        self.endpoints = json.loads((self.data_dir / "endpoints.json").read_text())
        self.coordinators = self.endpoints["control"]
        self.pid = self.process.pid

    def status(self):
        """What `overhand status --json` says."""
        return status(self.coordinators)

    def stop(self, within=60):
        """Ends the process as its owner would."""
        return stop(self.process, within)


@contextlib.contextmanager
def running(data_dir, *flags, log):
    """A server for the time of a `with` block."""
    server = Server(data_dir, *flags, log=log)
    try:
        yield server
    finally:
        server.stop()
