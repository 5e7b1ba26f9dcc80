"""Spark applications that stand ready and take turns."""

import json
import subprocess

import control
import tpch
from harness import lines, server

# What a job's messages are called in the results, and the workers' metrics that count them.
MESSAGES = {
    "frames": "overhand_pushed_frames_total",
    "commits": "overhand_commits_total",
    "fetches": "overhand_fetches_total",
    "connections": "overhand_connections_total",
}


class Application:
    """A Spark application that runs jobs when it is told to, and the servers that it shuffles through."""

    def __init__(self, name, line, manager, scratch, server_flags=(), conf=None, workers=None):
        self.name = name
        home = lines.spark_home(line, scratch / name)
        entries = [lines.build("benches/spark", line).classes]
        self.server = None
        if manager == "overhand":
            self.server = (server.Cluster(scratch / name / "cluster", workers, *server_flags) if workers else
                           server.Server(scratch / name / "data", *server_flags, log=scratch / name / "server.log"))
            entries.insert(0, lines.plugin_jar())
        conf = lines.folders(scratch / name, entries) | lines.two_executors(self.server) | (conf or {})
        command = lines.java([*entries, home / "jars/*"], "io.overhand.benches.BenchSession", heap="1g", conf=conf)
        self.log = scratch / name / "driver.log"
        with open(self.log, "w") as errors:
            self.process = subprocess.Popen(command, env=lines.environment(line, home), cwd=scratch / name,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.answer("ready")
        self.calls = {}

    def answer(self, expected):
        text = self.process.stdout.readline().strip()
        kind, _, rest = text.partition(" ")
        if kind != expected:
            raise SystemExit(f"{self.name}: {text or 'the application ended'}, see {self.log}")
        return rest

    def run(self, case, rows, argument=""):
        """Runs a job; returns what BenchSession.java says, the messages that the workers took meanwhile, and the
        control calls."""
        before = self.messages()
        self.process.stdin.write(f"{case.job} {rows} {case.partitions} {argument}".strip() + "\n")
        self.process.stdin.flush()
        result = json.loads(self.answer("result"))
        before_calls, self.calls = self.calls, result.pop("calls")
        if self.server:
            result["messages"] = {name: count - before[name] for name, count in self.messages().items()}
            result["control"] = control.figures(control.since(before_calls, self.calls))
        return result

    def messages(self):
        """The messages that the workers have taken so far, by name."""
        counts = self.server.metrics() if self.server else {}
        return {name: round(counts.get(metric, 0)) for name, metric in MESSAGES.items()}

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            if self.server:
                self.server.stop()


def measure(case, applications, warm_ups, runs, scale, record):
    """Warms up, then takes turns, in which the other one is first every time; `record` is given each run of each
    application. The rows must be the same."""
    rows = max(1000, int(case.rows * scale)) if case.rows else 0
    argument = tpch.query(scale, case.query) if case.query else ""
    checks = set()
    for turn in range(1 - warm_ups, runs + 1):
        for application in applications if turn % 2 else reversed(applications):
            result = application.run(case, rows, argument)
            checks.add((result["rows"], result["check"]))
            label = f"run {turn}" if turn > 0 else "warm-up"
            print(f"{case.name:18} {application.name:10} {label:8} wall {result['wall_s']:7.2f} s  "
                  f"cpu {result['cpu_s']:7.2f} s  peak {result['peak_mb']:6} MB  {result['rows']:>11,} rows"
                  + messages(result) + control.text(result.get("control")), flush=True)
            if turn > 0:
                record(dict(case=case.name, shuffle=application.name, run=turn, rows_asked=rows, scale=scale, **result))
    if len(checks) != 1:
        raise SystemExit(f"{case.name}: the rows are not the same: {checks}")


def messages(result):
    """The messages of a run as text; none through Spark's own shuffle."""
    counts = [f"{count} {name}" for name, count in result.get("messages", {}).items()]
    return f"  ({result['map_tasks']} map tasks: {', '.join(counts)})" if counts else ""
