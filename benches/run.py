#!/usr/bin/env python3
"""Times jobs through Overhand and through Spark's own shuffle, in turn, on this machine.

  python3 benches/run.py                                  all jobs on Spark 3.5, five runs each
  python3 benches/run.py --only repartition-64,small --runs 3 --spark 4.x
  python3 benches/run.py --against sort                   Spark's own shuffle in both places: how much is noise
  python3 benches/run.py --replicas                       what two replicas cost, against one

Two Spark applications stand ready, each with two executors of one core; they run every job once to warm up, and then in
turn. A run counts wall seconds, the CPU seconds of all processes (driver, executors, shuffle server) and the peak of
their resident memory. The rows that come out are counted and summed up, and must be the same.
Writes benches/results/spark-LINE.{jsonl,md,svg}.

With --replicas both applications go through Overhand, each with a coordinator and two workers of its own, one with
spark.overhand.replicas=1, the other with 2; the servers' CPU seconds are shown apart from Spark's.
Writes benches/results/replicas-spark-LINE.{jsonl,md}.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import chart
from harness import lines, server


@dataclasses.dataclass(frozen=True)
class Case:
    """A job with its size, and the ratios to Spark's own shuffle that are asked for (CPU, wall)."""
    name: str
    job: str
    rows: int
    partitions: int
    asked_cpu: float = None
    asked_wall: float = None


# How much the CPU seconds of a whole job may grow with a second replica.
ASKED_OF_REPLICAS = 1.25

CASES = [
    Case("repartition-64", "repartition", 20_000_000, 64, 0.9, 1.0),
    Case("repartition-200", "repartition", 20_000_000, 200, 0.9, 1.0),
    Case("repartition-2000", "repartition", 20_000_000, 2000, 0.7, 0.8),
    Case("sort-200", "sort", 20_000_000, 200),
    Case("aggregate-200", "aggregate", 20_000_000, 200),
    Case("small-200x1MB", "small", 2_000_000, 4, None, 1.1),
]


class Application:
    """A Spark application that runs jobs when it is told to."""

    def __init__(self, name, line, manager, scratch, server_flags, more_conf=None, workers=None):
        self.name = name
        home = lines.spark_home(line, scratch / name)
        entries = [lines.build("benches/spark", line).classes]
        self.server = None
        if manager == "overhand":
            self.server = (server.Cluster(scratch / name / "cluster", workers, *server_flags) if workers else
                           server.Server(scratch / name / "data", *server_flags, log=scratch / name / "server.log"))
            entries.insert(0, lines.plugin_jar())
        conf = lines.folders(scratch / name, entries) | lines.two_executors(self.server) | (more_conf or {})
        command = lines.java([*entries, home / "jars/*"], "io.overhand.benches.BenchSession", heap="1g", conf=conf)
        self.log = scratch / name / "driver.log"
        with open(self.log, "w") as errors:
            self.process = subprocess.Popen(command, env=lines.environment(line, home), cwd=scratch / name,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.answer("ready")

    def answer(self, expected):
        text = self.process.stdout.readline().strip()
        kind, _, rest = text.partition(" ")
        if kind != expected:
            raise SystemExit(f"{self.name}: {text or 'the application ended'}, see {self.log}")
        return rest

    def run(self, case, rows):
        self.process.stdin.write(f"{case.job} {rows} {case.partitions}\n")
        self.process.stdin.flush()
        return json.loads(self.answer("result"))

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            if self.server:
                self.server.stop()


def measure(case, applications, runs, scale, record):
    """Warms up, then takes turns; returns the runs of each application."""
    rows = max(10_000, int(case.rows * scale))
    results = {application.name: [] for application in applications}
    for turn in range(runs + 1):
        for application in applications:
            result = application.run(case, rows)
            label = "warm-up" if turn == 0 else f"run {turn}"
            print(f"{case.name:18} {application.name:10} {label:8} wall {result['wall_s']:7.2f} s  "
                  f"cpu {result['cpu_s']:7.2f} s  peak {result['peak_mb']:6} MB  {result['rows']:>11,} rows", flush=True)
            if turn > 0:
                results[application.name].append(result)
                record(dict(case=case.name, shuffle=application.name, run=turn, rows_asked=rows, **result))
    checks = {(result["rows"], result["check"]) for outcomes in results.values() for result in outcomes}
    if len(checks) != 1:
        raise SystemExit(f"{case.name}: the rows are not the same: {checks}")
    return results


def summary(case, results):
    """The medians of both sides and their ratios."""
    own, ours = results.values()
    row = dict(case=case, runs=len(own))
    for key in ["wall_s", "cpu_s", "peak_mb", "shuffle_bytes"]:
        row[f"own_{key}"] = statistics.median(result[key] for result in own)
        row[f"ours_{key}"] = statistics.median(result[key] for result in ours)
    row["ratio_cpu"] = row["ours_cpu_s"] / row["own_cpu_s"]
    row["ratio_wall"] = row["ours_wall_s"] / row["own_wall_s"]
    return row


def table(rows, other):
    """The medians as a table in Markdown."""
    out = [f"| job | Spark's own: CPU s / wall s | {other}: CPU s / wall s | ratio CPU | ratio wall | asked "
           f"| peak MB own / {other} | shuffled MB own / {other} |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        case = row["case"]
        cells = [
            case.name,
            f"{row['own_cpu_s']:.1f} / {row['own_wall_s']:.1f}",
            f"{row['ours_cpu_s']:.1f} / {row['ours_wall_s']:.1f}",
            f"**{row['ratio_cpu']:.2f}**",
            f"**{row['ratio_wall']:.2f}**",
            " / ".join("–" if limit is None else f"≤ {limit}" for limit in (case.asked_cpu, case.asked_wall)),
            f"{row['own_peak_mb']:.0f} / {row['ours_peak_mb']:.0f}",
            f"{row['own_shuffle_bytes'] / 1e6:.0f} / {row['ours_shuffle_bytes'] / 1e6:.0f}",
        ]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def replicas_table(cases):
    """What two replicas cost, as a table in Markdown; `cases` has the runs of both sides by case."""
    out = ["| job | 1 replica: CPU s (Spark + servers) / wall s | 2 replicas: CPU s (Spark + servers) / wall s "
           f"| whole job CPU ratio 2/1 (asked ≤ {ASKED_OF_REPLICAS}) | servers' CPU ratio | ratio wall |",
           "|---|---|---|---|---|---|"]
    for case, sides in cases.items():
        one, two = ({key: statistics.median(result[key] for result in runs)
                     for key in ["cpu_s", "cpu_server_s", "wall_s"]} for runs in sides)
        cells = [case.name]
        for side in (one, two):
            spark = side["cpu_s"] - side["cpu_server_s"]
            cells.append(f"{side['cpu_s']:.1f} ({spark:.1f} + {side['cpu_server_s']:.1f}) / {side['wall_s']:.1f}")
        cells.append(f"**{ratio(two, one, 'cpu_s')}**")
        cells += [ratio(two, one, "cpu_server_s"), ratio(two, one, "wall_s")]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def ratio(over, under, key):
    """As text; what was too short to be measured has none."""
    return f"{over[key] / under[key]:.2f}" if under[key] else "–"


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spark", choices=lines.LINES, default="3.5")
    parser.add_argument("--only", default="", help="only the jobs whose names contain one of these")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the rows, for a quick look")
    parser.add_argument("--against", choices=["overhand", "sort"], default="overhand",
                        help="what is compared with Spark's own")
    parser.add_argument("--replicas", action="store_true", help="compare two replicas with one instead")
    parser.add_argument("--server-flag", action="append", default=[], help="a flag for the server")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "benches/results", help="the folder for the results")
    arguments = parser.parse_args()
    parts = [part for part in arguments.only.split(",") if part]
    cases = [case for case in CASES if not parts or any(part in case.name for part in parts)]
    line, about = lines.LINES[arguments.spark], machine()
    (lines.CACHE / "bench").mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=lines.CACHE / "bench"))
    other = "overhand" if arguments.against == "overhand" else "sort-again"
    if arguments.replicas:
        sides = {f"replicas-{count}": dict(manager="overhand", workers=2,
                                           more_conf={"spark.overhand.replicas": count}) for count in (1, 2)}
    else:
        sides = {"sort": dict(manager="sort"), other: dict(manager=arguments.against)}
    records, measured = [], {}

    with contextlib.ExitStack() as stack:
        applications = []
        for name, how in sides.items():
            applications.append(Application(name, line, scratch=scratch, server_flags=arguments.server_flag, **how))
            stack.callback(applications[-1].stop)
        for case in cases:
            measured[case] = measure(
                case, applications, arguments.runs, arguments.scale,
                lambda fields: records.append(dict(about, spark=line.spark, scala=line.scala, **fields)))
    shutil.rmtree(scratch, ignore_errors=True)

    heading = (f"# Spark {line.spark} (Scala {line.scala}), medians of {arguments.runs} runs in turn\n\n"
               f"{about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB, Linux {about['kernel']}; "
               f"commit {about['commit']}, {about['date']}; `{about['command']}`.\n"
               "CPU seconds are those of all processes: driver, two executors of one core, ")
    if arguments.replicas:
        name = f"replicas-spark-{arguments.spark}"
        text = replicas_table({case: list(results.values()) for case, results in measured.items()})
        files = {"md": heading + "a coordinator and two workers.\n\n" + text}
    else:
        name = f"spark-{arguments.spark}" + ("" if arguments.against == "overhand" else "-noise")
        summaries = [summary(case, results) for case, results in measured.items()]
        text = table(summaries, other)
        files = {"md": heading + "shuffle server.\n\n" + text + f"\n![ratios]({name}.svg)\n",
                 "svg": chart.ratios(f"{other} against Spark's own shuffle, Spark {line.spark}",
                                     [(row["case"].name, row["ratio_cpu"], row["ratio_wall"]) for row in summaries])}
    print("\n" + text)
    files["jsonl"] = "".join(json.dumps(record) + "\n" for record in records)
    write(arguments.out, name, files)
    return 0


def write(folder, name, files):
    """Writes the results, by the ending of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, text in files.items():
        (folder / f"{name}.{ending}").write_text(text)
    print(f"written: {folder / name}" + ", ".join(f".{ending}" for ending in files))


if __name__ == "__main__":
    sys.exit(main())
