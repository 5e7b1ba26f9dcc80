"""Disks that can be filled, broken and frozen: file systems of their own, in a file, mounted where a data folder is to
be."""

import fcntl
import os
import pathlib
import struct
import subprocess

from . import isolation

# EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: from then on every read and write fails with EIO.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
# FIFREEZE and FITHAW: from then on every write hangs.
_FREEZE, _THAW = 0xC0045877, 0xC0045878

# What a file system in memory can do, too.
WITHOUT_BLOCK_DEVICES = ["disk-full"]


class Disk:
    """A file system of `size` bytes at `path`."""

    def __init__(self, path, size):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True)
        self.image = self.path.with_name(self.path.name + ".img")
        self.frozen = False
        if isolation.block_devices():
            with open(self.image, "wb") as image:
                image.truncate(size)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True)
            subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)
            (self.path / "lost+found").rmdir()
        else:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path], check=True)

    def fill(self):
        """Leaves no room for anything."""
        with open(self.path / "ballast", "ab") as ballast:
            step = 1 << 30
            while step >= 4096:
                try:
                    os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, step)
                except OSError:
                    step //= 2

    def empty(self):
        """Gives the room back."""
        (self.path / "ballast").unlink()

    def fail(self):
        """From now on every read and every write is an error, until it is made anew."""
        self._order(_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))

    def freeze(self):
        """From now on every write hangs."""
        self._order(_FREEZE, 0)
        self.frozen = True

    def thaw(self):
        if self.frozen:
            self._order(_THAW, 0)
            self.frozen = False

    def _order(self, order, argument):
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, order, argument)
        finally:
            os.close(folder)

    def remove(self):
        """Takes it down; the processes that used it have ended."""
        self.thaw()
        subprocess.run(["umount", self.path], check=True)
        self.image.unlink(missing_ok=True)
