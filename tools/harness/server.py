"""Processes of `overhand`: `overhand standalone`, or a cluster on this machine."""

import collections
import contextlib
import json
import pathlib
import secrets
import select
import subprocess
import time
import urllib.request

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


def metrics(admin):
    """The metrics of the process whose admin port is at `admin` (host:port), summed over their labels."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=5) as answer:
        sums = {}
        for line in answer.read().decode().splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                name = series.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums


class Server:
    """A running server on ports of its own choice; `coordinators` is what spark.overhand.coordinators takes."""

    def __init__(self, data_dir, *flags, log, role="standalone", ready_within=60):
        self.data_dir = pathlib.Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [lines.overhand_binary(), role, "--data-dir", self.data_dir, "--listen", "127.0.0.1:0", *flags]
        self.process = start(command, log, ready_within)
        if self.process is None:
            raise SystemExit(f"the server did not get ready within {ready_within} s, see {log}")
        self.endpoints = json.loads((self.data_dir / "endpoints.json").read_text())
        self.coordinators = self.endpoints["control"]
        self.pid = self.process.pid
        self.pids = [self.pid]

    def status(self):
        """What `overhand status --json` says."""
        return status(self.coordinators)

    def metrics(self):
        """Its metrics, summed over their labels."""
        return metrics(self.endpoints["admin"])

    def stop(self, within=60):
        """Ends the process as its owner would."""
        return stop(self.process, within)


class Cluster:
    """A coordinator and workers as processes of this machine, side by side and not cut off from anything: `flags` are
    the workers'. Each worker is given a host of its own, so that replicas are placed as on machines of their own."""

    def __init__(self, folder, workers, *flags, ready_within=60):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "secret"
        secret.write_text(secrets.token_hex(16))
        common = ["--secret-file", secret]
        self.servers = []
        try:
            coordinator = Server(folder / "coordinator", *common, role="coordinator", log=folder / "coordinator.log",
                                 ready_within=ready_within)
            self.servers.append(coordinator)
            self.coordinators = coordinator.coordinators
            for number in range(workers):
                self.servers.append(Server(
                    folder / f"worker-{number}", *common, "--coordinator", self.coordinators, "--set",
                    f"worker.host=host-{number}", *flags, role="worker", log=folder / f"worker-{number}.log",
                    ready_within=ready_within))
            self._await_reports(workers, ready_within)
        except BaseException:
            self.stop(1)
            raise
        self.pids = [server.pid for server in self.servers]

    def _await_reports(self, workers, within):
        deadline = time.monotonic() + within
        while len(status(self.coordinators)["workers"]) < workers:
            if time.monotonic() > deadline:
                raise SystemExit(f"not all of {workers} workers reported within {within} s")
            time.sleep(0.05)

    def metrics(self):
        """The metrics of all of them, summed up."""
        return sum((collections.Counter(server.metrics()) for server in self.servers), collections.Counter())

    def stop(self, within=60):
        """Ends the processes as their owner would, workers first."""
        for server in reversed(self.servers):
            server.stop(within)


@contextlib.contextmanager
def running(data_dir, *flags, log):
    """A server for the time of a `with` block."""
    server = Server(data_dir, *flags, log=log)
    try:
        yield server
    finally:
        server.stop()
