"""One round: a cluster and a job of their own, one scenario, and what came of it."""

import contextlib
import dataclasses
import json
import shutil
import threading
import time

import faults
from harness import cluster as clusters
from harness import disks, isolation
from job import Hung, Job

DISK_SIZE = 1 << 30
FLUSH_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all rounds have in common."""
    line: object
    sizes: dict
    references: dict
    workers: int
    coordinators: int
    worker_flags: list
    coordinator_flags: list
    patience: float


@dataclasses.dataclass
class Verdict:
    """What came of a round; right if there are no problems."""
    scenario: str
    problems: list
    result: dict
    seconds: float
    skipped: str = ""

    @property
    def word(self):
        return "skipped" if self.skipped else "FAILED" if self.problems else "ok"


def lacking(scenario):
    """What this machine lacks for a scenario, or an empty text."""
    needs = faults.FAULTS[scenario.fault].needs
    if needs and not isolation.isolated():
        return "it needs namespaces"
    if needs == "disk" and not isolation.block_devices() and scenario.fault not in disks.WITHOUT_BLOCK_DEVICES:
        return "it needs loop devices"
    return ""


class Round:
    """A scenario under way; its logs are in `folder`."""

    def __init__(self, scenario, setup, folder, screen):
        self.scenario, self.setup, self.folder, self.screen = scenario, setup, folder, screen
        self.fault = faults.FAULTS[scenario.fault]
        self.problems = []
        self.result = {}
        self.struck = False
        self.beside = None

    def run(self):
        """Runs it to its end; everything that it started is gone then, and of its files only the logs are left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        begun = time.monotonic()
        with contextlib.ExitStack() as stack:
            try:
                cluster = self._cluster(stack)
                job = Job(self.setup.line, self.scenario.job, self.setup.sizes[self.scenario.job], self.scenario.phase,
                          self.folder / "spark", cluster.addresses)
                stack.callback(job.remove)
                self._follow(cluster, job)
                self._judge(cluster)
            except Exception as problem:
                self.problems.append(str(problem) or type(problem).__name__)
            finally:
                # Before anything is taken down: it may be in the middle of putting something right.
                self._finish()
        return Verdict(str(self.scenario), self.problems, self.result, time.monotonic() - begun)

    def _cluster(self, stack):
        setup = self.setup
        cluster = clusters.Cluster(self.folder, setup.workers, setup.coordinators, setup.worker_flags,
                                   setup.coordinator_flags)
        stack.callback(cluster.remove)
        group = cluster.coordinators if self.fault.strikes_coordinator else cluster.workers
        names = [node.name for node in group]
        if self.scenario.victim not in names or self.fault.victims > len(group):
            raise RuntimeError(f"{self.scenario} strikes {self.fault.victims} of {', '.join(names)}")
        first = names.index(self.scenario.victim)
        victims = [group[(first + further) % len(group)] for further in range(self.fault.victims)]
        self.scene = faults.Scene(cluster, victims, threading.Event())
        if self.fault.needs == "disk":
            # All have disks of one size: a worker with less room than others is given less.
            for worker in cluster.workers:
                worker.mount(DISK_SIZE)
        cluster.start()
        return cluster

    def _follow(self, cluster, job):
        begun = time.monotonic()
        try:
            for kind, said in job.follow(begun + self.setup.patience):
                if kind == "progress":
                    stage, done, tasks = map(int, said.split())
                    self.screen.progress(f"{self.scenario}, stage {stage}", done, tasks, begun)
                elif kind == "result":
                    self.result = said
                elif said == "end":
                    self._end(cluster)
                    job.go_on()
                else:
                    self._strike(job)
        except Hung:
            self.problems.append(f"it was not over after {self.setup.patience:.0f} s")
            job.dump_threads()

    def _strike(self, job):
        """Strikes when the scenario says so, while the job stands still or after it went on."""
        if self.fault.strikes_data and not self._holds_data():
            self.problems.append("the victim held nothing")
        if self.scenario.delay:
            job.go_on()
            time.sleep(self.scenario.delay / 1000)
        self.fault.strike(self.scene)
        self.struck = True
        self.beside = threading.Thread(target=self._after)
        self.beside.start()
        if not self.scenario.delay:
            if self.fault.takes_long and self.scenario.phase in ("between", "reading"):
                # No task is in the middle of writing: all of it can be done before anything is read.
                self.beside.join(self.setup.patience)
            job.go_on()

    def _holds_data(self):
        """Whether all victims have what the fault can strike."""
        places = ["overhand_memory_used_bytes", "overhand_disk_used_bytes"]
        if self.fault.needs == "disk" and self.scenario.phase != "writing":
            places = ["overhand_disk_used_bytes"]
        # Memory goes to disk beside the job: that may take a moment.
        until = time.monotonic() + FLUSH_PATIENCE
        while True:
            found = [victim.metrics() for victim in self.scene.victims]
            if all(any(metrics.get(place) for place in places) for metrics in found):
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.2)

    def _after(self):
        try:
            self.fault.after(self.scene)
        except Exception as problem:
            self.problems.append(f"{self.scenario.fault}: {problem}")

    def _end(self, cluster):
        """The rows are there, the application still is: what goes on beside it ends first."""
        if self.fault.takes_long and self.beside:
            self.beside.join(self.setup.patience)
        with contextlib.suppress(Exception):
            (self.folder / "status.json").write_text(json.dumps(cluster.status(), indent=1))

    def _finish(self):
        if self.beside:
            self.scene.over.set()
            self.beside.join()

    def _judge(self, cluster):
        right = self.setup.references[self.scenario.job]
        if not self.struck:
            self.problems.append("the job never came to the phase")
        if "error" in self.result:
            self.problems.append(f"the job failed: {self.result['error'][:300]}")
        elif not self.result:
            self.problems.append("the job gave no result")
        elif self.result["rows"] != right["rows"]:
            self.problems.append(f"{self.result['rows']:,} rows instead of {right['rows']:,}")
        elif self.result["digest"] != right["digest"]:
            self.problems.append("other rows")
        if self.fault.loses:
            if self.scenario.phase == "between" and not self.result.get("redone"):
                self.problems.append("no map task was redone, although data was lost")
        else:
            for key, what in [("redone", "map tasks redone"), ("failed", "tasks failed"),
                              ("fetch_failures", "fetch failures"), ("stages_repeated", "stages repeated")]:
                if self.result.get(key):
                    self.problems.append(f"{self.result[key]} {what}")
        if self.result.get("executors_lost"):
            self.problems.append(f"{self.result['executors_lost']} executors lost")
        self.problems += [f"{name} crashed" for name in cluster.crashed()]
