"""Spark applications that stand ready and take turns."""

import contextlib
import json
import math
import select
import subprocess
import time

import control
import records
import tpch
from harness import lines, server

# What a job's messages are called in the results, and the workers' metrics that count them.
MESSAGES = {
    "frames": "overhand_pushed_frames_total",
    "commits": "overhand_commits_total",
    "fetches": "overhand_fetches_total",
    "connections": "overhand_connections_total",
}
# What applications that run at the same time all measure of one and the same thing.
SHARED = {"wall_s", "cpu_server_s", "peak_server_mb"}
# Seconds after which a run has failed.
PATIENCE = 2400
# How many times the runs that were asked for a short job may have.
MORE_TURNS = 5
# Seconds after which a job is warm, however few runs they were.
WARM = 150


class Failed(SystemExit):
    """A job failed, or its application ended: `what` happened, and the log that says more. `results` are those of the
    sides that had their turn before, by name."""

    def __init__(self, what, log):
        super().__init__(f"{what}, see {log}")
        self.what, self.results = what, {}


class Application:
    """A Spark application that runs jobs when it is told to; `overhand` is the server or cluster that it shuffles
    through, None for Spark's own shuffle."""

    def __init__(self, name, line, scratch, heap, overhand=None, conf=None):
        self.name = name
        home = lines.spark_home(line, scratch)
        entries = [*([lines.plugin_jar()] if overhand else []), lines.build("benches/spark", line).classes]
        conf = lines.folders(scratch, entries) | lines.two_executors(overhand) | (conf or {})
        # A heap of one size: where the JVM may choose, drivers of the same work differ by half in what they collect.
        command = lines.java([*entries, home / "jars/*"], "io.overhand.benches.BenchSession", heap=heap,
                             options=[f"-Xms{heap}"], conf=conf)
        self.log = scratch / "driver.log"
        with open(self.log, "w") as errors:
            self.process = subprocess.Popen(command, env=lines.environment(line, home), cwd=scratch,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.calls = {}

    def begin(self, job, rows, partitions, maps, argument=""):
        """Tells it to run a job, whose result is to be asked for."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{job} {rows} {partitions} {maps} {argument}".strip() + "\n")
            self.process.stdin.flush()

    def result(self):
        """Waits for the job; returns what BenchSession.java says, and the control calls."""
        result = json.loads(self.answer("result"))
        before, self.calls = self.calls, result.pop("calls")
        if self.calls:
            result["control"] = control.figures(control.since(before, self.calls))
        return result

    def answer(self, expected):
        """Waits for a line that begins with `expected`, "ready" or "result"; returns the rest of it."""
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        text = self.process.stdout.readline().strip() if ready else f"no answer in {PATIENCE} s"
        kind, _, rest = text.partition(" ")
        if kind != expected:
            raise Failed(f"{self.name}: {text or 'the application ended'}", self.log)
        return rest

    def stop(self):
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self.process.stdin.close()
            self.process.wait(60)
        self.process.kill()


class Side:
    """What takes turns: applications with the same settings, most often one, that run a job at the same time, each its
    share of it, and the servers that all of them shuffle through."""

    def __init__(self, name, line, manager, scratch, heap, server_flags=(), conf=None, workers=None, applications=1):
        self.name, self.server, self.applications = name, None, []
        folder = scratch / name
        with contextlib.ExitStack() as stack:
            if manager == "overhand":
                self.server = (server.Cluster(folder / "cluster", workers, *server_flags) if workers else
                               server.Server(folder / "data", *server_flags, log=folder / "server.log"))
                stack.callback(self.server.stop)
            for number in range(applications):
                self.applications.append(Application(name, line, folder / str(number), heap, self.server, conf))
                stack.callback(self.applications[-1].stop)
            for application in self.applications:
                application.answer("ready")
            self.stop = stack.pop_all().close

    def run(self, case, rows, argument=""):
        """Runs a job; returns its result and the messages that the workers took meanwhile."""
        before, share = self.messages(), len(self.applications)
        for application in self.applications:
            application.begin(case.job, rows // share, case.partitions // share, case.maps // share, argument)
        result = together([application.result() for application in self.applications])
        if self.server:
            result["messages"] = {name: count - before[name] for name, count in self.messages().items()}
        return result

    def messages(self):
        """The messages that the workers have taken so far, by name."""
        counts = self.server.metrics() if self.server else {}
        return {name: round(counts.get(metric, 0)) for name, metric in MESSAGES.items()}


def together(results):
    """The results of applications that ran at the same time as one. The server's CPU time is that of the longest of
    them, which begin together; of the control calls it has the most of any."""
    if len(results) == 1:
        return results[0]
    out = {key: (max if key in SHARED else sum)(result[key] for result in results)
           for key, value in results[0].items() if isinstance(value, (int, float))}
    for total, parts in [("cpu_s", records.CPU), ("peak_mb", records.PEAK)]:
        out[total] = round(sum(out.get(part, 0) for part in parts), 3)
    out["check"] = "+".join(sorted({result["check"] for result in results}))
    calls = control.most(results)
    return out | (dict(control=calls) if calls else {})


def turns(warm_ups, runs, least):
    """The numbers of the turns, from 1 on, 0 for one to warm up. Of short jobs there are more than asked for: warm-ups
    for `least` seconds, then runs for as long, up to MORE_TURNS times as many. In less time noise hides the cost, and
    a query of a second is not compiled to its end before some thirty runs. Of long jobs there are fewer warm-ups, those
    that WARM seconds are enough for."""
    for wanted, enough, most, counted in [(warm_ups, WARM, math.inf, False), (runs, math.inf, MORE_TURNS * runs, True)]:
        begun, number = time.monotonic(), 0
        while (number < wanted and time.monotonic() - begun < enough
               or number < most and time.monotonic() - begun < least):
            number += 1
            yield number if counted else 0


def measure(case, sides, warm_ups, runs, scale, record, least=0, limit=math.inf):
    """Warms up, then takes turns, in which the other one is first every time; `record` is given each run of each side.
    The rows must be the same. `least` is for short jobs, see turns(). The turn in which `limit` seconds are over is the
    last one, and counts whatever it was meant for."""
    rows = max(1000, int(case.rows * scale)) if case.rows else 0
    argument = tpch.query(scale, case.query) if case.query else ""
    size = dict(rows_asked=rows, partitions=case.partitions, maps=case.maps, applications=case.applications, scale=scale)
    checks, begun = set(), time.monotonic()
    for number, turn in enumerate(turns(warm_ups, runs, least)):
        results = {}
        for side in sides if number % 2 else reversed(sides):
            try:
                result = results[side.name] = side.run(case, rows, argument)
            except Failed as failure:
                failure.results = results
                raise
            checks.add((result["rows"], result["check"]))
            label = f"run {turn}" if turn > 0 else "warm-up"
            print(f"{case.name:18} {side.name:10} {label:8} wall {result['wall_s']:7.2f} s  "
                  f"cpu {result['cpu_s']:7.2f} s  peak {result['peak_mb']:6} MB  {result['rows']:>11,} rows"
                  + spilled(result) + messages(result) + control.text(result.get("control")), flush=True)
        if len(checks) != 1:
            raise SystemExit(f"{case.name}: the rows are not the same: {checks}")
        over = time.monotonic() - begun > limit
        if turn > 0 or over:
            for side in sides:
                record(dict(case=case.name, shuffle=side.name, run=max(turn, 1), **size, **results[side.name]))
        if over:
            print(f"{case.name}: {limit:g} s are over, no more turns", flush=True)
            break


def spilled(result):
    """The bytes that a run's tasks spilled as text, if they did."""
    return f"  spilled {result['spilled_disk_bytes'] / 1e6:.0f} MB" if result["spilled_disk_bytes"] else ""


def messages(result):
    """The messages of a run as text; none through Spark's own shuffle."""
    counts = [f"{count} {name}" for name, count in result.get("messages", {}).items()]
    return f"  ({result['map_tasks']} map tasks: {', '.join(counts)})" if counts else ""
