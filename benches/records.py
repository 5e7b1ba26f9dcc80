"""The results: JSON lines, one for each run of a job on one side, with machine, commit, command and
settings."""

import collections
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

import cases
import control

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What medians are taken of: what adds up over several jobs, and what does not.
SUMS = ["wall_s", "cpu_s", "cpu_server_s", "shuffle_bytes", "spilled_disk_bytes", "map_tasks"]
CPU = ["cpu_driver_s", "cpu_executors_s", "cpu_server_s"]
PEAK = ["peak_driver_mb", "peak_executors_mb", "peak_server_mb"]
KEYS = [*SUMS, "peak_mb", *CPU, *PEAK]


def machine():
    """What the figures depend on."""
    cpu = next((text.split(":", 1)[1].strip() for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if text.startswith("model name")), platform.machine())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    commit = git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    return dict(cpu=cpu, cores=os.cpu_count(), memory_gb=round(memory), kernel=platform.release(), commit=commit,
                date=datetime.date.today().isoformat(),
                command=shlex.join(["python3", "benches/run.py", *sys.argv[1:]]))


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()


class Results:
    """A file of results. Jobs that are measured again replace their lines and the others stay, so that a file may come
    from several calls; those that are none of the cases `known` any more go."""

    def __init__(self, file, known):
        names = {case.name for case in known}
        self.file = file
        self.lines = [line for line in read(file) if line["case"] in names] if file.exists() else []
        self.begun = set()

    def add(self, line):
        """Adds a run, which drops the runs of its case that an earlier call made; writes the file."""
        if line["case"] not in self.begun:
            self.begun.add(line["case"])
            self.lines = [other for other in self.lines if other["case"] != line["case"]]
        self.lines.append(line)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(json.dumps(line) + "\n" for line in self.lines))


def read(file):
    """The runs in a file."""
    return [json.loads(text) for text in pathlib.Path(file).read_text().splitlines()]


def by_case(runs):
    """The runs of each case, by side: the first is what the second is compared with."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for run in runs:
        found[run["case"]][run["shuffle"]].append(run)
    order = [*[name for name in cases.BY_NAME if name in found], *[name for name in found if name not in cases.BY_NAME]]
    return {name: list(found[name].values()) for name in order}


def medians(runs):
    """The medians of some runs; None for what was not measured."""
    out = {key: statistics.median(run[key] for run in runs) if all(key in run for run in runs) else None
           for key in KEYS}
    counts = [run["messages"] for run in runs if "messages" in run]
    out["control"] = control.most(runs)
    return out | {name: statistics.median(count[name] for count in counts) for name in (counts[0] if counts else {})}
