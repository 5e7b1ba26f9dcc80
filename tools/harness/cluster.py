"""A cluster of `overhand worker` and `overhand coordinator` processes, each on a host of its own."""

import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import time

from . import disks, hosts, lines, server

CONTROL, DATA, ADMIN = 7337, 7338, 7339
# The least that there can be, so that small jobs go through the disks too.
MEMORY_BUDGET = "32 MiB"
# So are the disks.
RESERVE = "64 MiB"


class Node:
    """One process, with the data folder and the address that it keeps over restarts."""

    def __init__(self, role, host, folder, flags):
        self.role, self.host, self.flags = role, host, flags
        self.name = host.name
        self.data_dir = folder / "data" / self.name
        self.log = folder / f"{self.name}.log"
        self.disk = None
        self.process = None
        self.started = 0.0
        # Whether it is meant to be there: one that ends although it is has crashed.
        self.wanted = False

    @property
    def control(self):
        return f"{self.host.address}:{CONTROL}"

    @property
    def data(self):
        return f"{self.host.address}:{DATA}"

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def mount(self, size):
        """Gives it a disk of its own, before its first start."""
        self.disk = disks.Disk(self.data_dir, size)

    def start(self, within=60):
        """Starts it on the data that it has."""
        command = [lines.overhand_binary(), self.role, "--listen", self.control, *self.flags]
        if self.role == "worker":
            self.data_dir.mkdir(parents=True, exist_ok=True)
            command += ["--data-dir", self.data_dir]
        self.started = time.monotonic()
        self.process = server.start(self.host.command([str(word) for word in command]), self.log, within)
        if self.process is None:
            raise RuntimeError(f"{self.name} did not get ready within {within} s, see {self.log}")
        self.wanted = True

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wanted = False
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self, within=60):
        """Stops it by SIGTERM; an error if it was not clean."""
        self.wanted = False
        status = server.stop(self.process, within)
        if status != 0:
            raise RuntimeError(f"{self.name} ended with {status} on SIGTERM, see {self.log}")

    def wipe(self):
        """Forgets everything that it stored, and who it was; it does not run."""
        for entry in self.data_dir.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def metrics(self):
        """Its metrics, summed over their labels."""
        return server.metrics(f"{self.host.address}:{ADMIN}")

    def remove(self):
        """Ends it for good, whatever state it is in."""
        self.wanted = False
        if self.disk:
            self.disk.thaw()
        if self.alive:
            self.process.kill()
            self.process.wait()
        if self.disk:
            self.disk.remove()


class Cluster:
    """`workers` workers and `coordinators` coordinators; their data and logs are below `folder`."""

    def __init__(self, folder, workers=3, coordinators=2, worker_flags=(), coordinator_flags=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.secret = self.folder / "secret"
        with open(os.open(self.secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        coordinator_names = [f"coordinator-{number}" for number in range(1, coordinators + 1)]
        worker_names = [f"worker-{number}" for number in range(1, workers + 1)]
        self.network = hosts.Network([*coordinator_names, *worker_names])
        common = ["--set", f"auth.secret_file={self.secret}"]
        self.coordinators = [Node("coordinator", self.network.hosts[name], self.folder, [*common, *coordinator_flags])
                             for name in coordinator_names]
        common += ["--set", f"worker.coordinators={self.addresses}", "--memory-budget", MEMORY_BUDGET,
                   "--set", f"storage.reserve={RESERVE}"]
        self.workers = [Node("worker", self.network.hosts[name], self.folder, [*common, *worker_flags])
                        for name in worker_names]

    @property
    def nodes(self):
        return [*self.coordinators, *self.workers]

    @property
    def addresses(self):
        """What spark.overhand.coordinators takes."""
        return ",".join(node.control for node in self.coordinators)

    def start(self, within=60):
        """Starts everything, and waits until every coordinator knows every worker."""
        for node in self.nodes:
            node.start(within)
        self.await_workers(within)

    def await_workers(self, within=60):
        """Waits until every coordinator that runs has heard of every worker that runs, since either was started."""
        deadline = time.monotonic() + within
        for coordinator in filter(lambda node: node.alive, self.coordinators):
            while missing := self._unheard(coordinator):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{coordinator.name} has not heard of {missing} after {within} s")
                time.sleep(0.1)

    def _unheard(self, coordinator):
        """The running workers that a coordinator has not heard of since they were started."""
        ages = {}
        for worker in server.status(coordinator.control)["workers"]:
            address, age = worker["data_address"], worker["reported_ms_ago"] / 1000
            ages[address] = min(age, ages.get(address, age))
        now = time.monotonic()
        return [node.name for node in self.workers
                if node.alive and ages.get(node.data, float("inf")) > now - node.started]

    def status(self):
        """What a coordinator that runs says."""
        return server.status(next(node for node in self.coordinators if node.alive).control)

    def drain(self, worker, within=300):
        """Drains a worker; returns when nothing would be lost without it."""
        coordinator = next(node for node in self.coordinators if node.alive)
        command = [lines.overhand_binary(), "drain", worker.control, "--coordinator", coordinator.control,
                   "--secret-file", self.secret]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=within)
        with open(self.folder / "drain.log", "a") as log:
            log.write(done.stdout)
        if done.returncode != 0:
            last = done.stdout.strip().splitlines()[-1:] or ["no word"]
            raise RuntimeError(f"overhand drain ended with {done.returncode}: {last[0]}")

    def crashed(self):
        """The nodes that ended although nobody ended them."""
        return [node.name for node in self.nodes if node.wanted and not node.alive]

    def remove(self):
        """Ends everything and deletes the data; the logs stay."""
        for node in self.nodes:
            node.remove()
        self.network.remove()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
