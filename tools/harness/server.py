"""One `overhand standalone` process."""

import contextlib
import json
import pathlib
import select
import subprocess

from . import lines


class Server:
    """A running server on ports of its own choice; `coordinators` is what spark.overhand.coordinators takes."""

    def __init__(self, data_dir, *flags, log, ready_within=60):
        self.data_dir = pathlib.Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [lines.overhand_binary(), "standalone", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0",
                   *flags]
        with open(log, "ab") as errors:
            self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=errors)
        readable, _, _ = select.select([self.process.stdout], [], [], ready_within)
        self.ready_line = self.process.stdout.readline().decode().strip() if readable else ""
        if not self.ready_line:
            self.stop()
            raise SystemExit(f"the server did not get ready within {ready_within} s, see {log}")
        self.endpoints = json.loads((self.data_dir / "endpoints.json").read_text())
        self.coordinators = self.endpoints["control"]
        self.pid = self.process.pid

    def status(self):
        """What `overhand status --json` says."""
        command = [str(lines.overhand_binary()), "status", "--coordinator", self.coordinators, "--json"]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=30).stdout)

    def stop(self, within=60):
        """Ends the process as its owner would, by SIGTERM; it is killed if that takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


@contextlib.contextmanager
def running(data_dir, *flags, log):
    """A server for the time of a `with` block."""
    server = Server(data_dir, *flags, log=log)
    try:
        yield server
    finally:
        server.stop()
