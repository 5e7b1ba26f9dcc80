#!/usr/bin/env python3
"""Real Spark under real kills: jobs on a cluster of 3 workers and 2 coordinators, a fault in the middle of each.

  python3 chaos/run.py --time 10m --seed 7                   scenarios in an order that the seed decides
  python3 chaos/run.py --smoke                               a choice of faults, small, a few minutes
  python3 chaos/run.py --run kill@fin/join/worker-2+35ms     exactly this one; several with commas
  python3 chaos/run.py --only stop@,/join --list 20          what would come

A round is right if the rows are those of Spark's own shuffle, no map task was redone and no task failed; where two of
three workers were lost, if the rows are right. In target/chaos are afterwards results.md, results.jsonl (but for
--run), and the logs of the rounds that failed. Exits with 1 if any failed. docs/chaos.md says more.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import report
import scenarios
from harness import isolation, lines, screen
from job import Job
from round import Round, Setup, Verdict, lacking

OUT = ROOT / "target/chaos"
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclasses.dataclass(frozen=True)
class Size:
    """Rows of the largest input, the map tasks that make them, partitions of the shuffles."""
    rows: int
    maps: int
    partitions: int


# Twenty seconds and more on two cores, in 3 shards. Spark's reduce tasks each read several partitions.
FULL = {"terasort": Size(6_000_000, 30, 384), "join": Size(6_000_000, 24, 384)}
SMALL = {"terasort": Size(1_500_000, 12, 384), "join": Size(1_500_000, 12, 384)}


def seconds(text):
    """A duration like 90s, 10m or 2h."""
    match = re.fullmatch(r"(\d+)([smh])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is no duration: try 10m")
    return int(match[1]) * UNITS[match[2]]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=seconds, default="10m", help="no round begins after this: 90s, 10m, 8h")
    parser.add_argument("--seed", type=int, default=None, help="decides the order, the victims and the moments")
    parser.add_argument("--only", default="", help="only scenarios whose names contain one of these")
    parser.add_argument("--run", default="", help="exactly these scenarios")
    parser.add_argument("--smoke", action="store_true", help="a choice of faults, in small jobs")
    parser.add_argument("--small", action="store_true", help="small jobs, as --smoke has")
    parser.add_argument("--list", type=int, metavar="N", help="prints the first N scenarios and ends")
    parser.add_argument("--spark", choices=lines.LINES, default="3.5")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--coordinators", type=int, default=2)
    parser.add_argument("--replicas", type=int, help="how many workers hold each byte; else the cluster's own default")
    parser.add_argument("--worker-flag", action="append", default=[], help="a flag for every worker")
    parser.add_argument("--coordinator-flag", action="append", default=[], help="a flag for every coordinator")
    parser.add_argument("--patience", type=seconds, default="5m", help="a job that takes longer is taken for hung")
    parser.add_argument("--keep", action="store_true", help="keeps the logs of rounds that were right, too")
    return parser.parse_args()


def chosen(arguments):
    """The scenarios to run, without end where only time ends them."""
    if arguments.run:
        return map(scenarios.parse, arguments.run.split(","))
    if arguments.smoke:
        parts = [part for part in arguments.only.split(",") if part]
        return (each for each in scenarios.SMOKE if not parts or any(part in str(each) for part in parts))
    return scenarios.stream(arguments.seed, arguments.workers, arguments.coordinators, arguments.only)


def reference(line, name, size, show):
    """What is right: the rows of a job on Spark's own shuffle. Remembered for as long as the jobs are the same."""
    stamp = (lines.CACHE / "java/spark-tests" / line.name / "stamp").read_text()[:16]
    known = lines.CACHE / "chaos" / f"{name}-{line.name}-{size.rows}-{stamp}.json"
    if not known.exists():
        show.say(f"  the rows of {name} on Spark's own shuffle come first")
        job = Job(line, name, size, "none", OUT / "reference" / name)
        begun = time.monotonic()
        try:
            for kind, said in job.follow(begun + 900):
                if kind == "progress":
                    stage, done, tasks = map(int, said.split())
                    show.progress(f"{name}, stage {stage}", done, tasks, begun)
                elif kind == "phase":
                    job.go_on()
                elif kind == "result" and "digest" in said:
                    known.parent.mkdir(parents=True, exist_ok=True)
                    known.write_text(json.dumps(said))
        finally:
            job.remove()
        if not known.exists():
            raise SystemExit(f"{name} failed on Spark's own shuffle, see {job.folder}")
    return json.loads(known.read_text())


def again(scenario, arguments):
    """The command that runs exactly this round once more."""
    words = ["python3 chaos/run.py --run", str(scenario)]
    words += ["--small"] if arguments.small or arguments.smoke else []
    words += [f"--spark {arguments.spark}"] if arguments.spark != "3.5" else []
    for name in ("worker", "coordinator"):
        words += [f"--{name}-flag={flag}" for flag in getattr(arguments, f"{name}_flag")]
    return " ".join(words)


def rounds(arguments, setup, show):
    """Runs round after round; yields each scenario with its verdict."""
    ends = time.monotonic() + arguments.time
    for number in itertools.count(1):
        scenario = next(arguments.scenarios, None)
        if scenario is None or (time.monotonic() > ends and not arguments.run and not arguments.smoke):
            return
        folder = OUT / "rounds" / re.sub(r"[^\w+-]", "_", str(scenario))
        lacks = lacking(scenario)
        if lacks:
            verdict = Verdict(str(scenario), [], {}, 0, skipped=lacks)
        else:
            verdict = Round(scenario, setup, folder, show).run()
        show.say(report.line(number, verdict))
        if verdict.problems:
            show.say(f"      again: {again(scenario, arguments)}\n      logs:  {folder}")
        elif not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        yield scenario, verdict


def main():
    arguments = options()
    line = lines.LINES[arguments.spark]
    if arguments.seed is None:
        arguments.seed = int.from_bytes(os.urandom(2), "big")
        sys.argv += ["--seed", str(arguments.seed)]
    if arguments.replicas:
        arguments.coordinator_flag += ["--set", f"coordinator.replicas={arguments.replicas}"]
    arguments.scenarios = iter(chosen(arguments))
    if arguments.list:
        print("\n".join(str(scenario) for scenario in itertools.islice(arguments.scenarios, arguments.list)))
        return 0
    if not isolation.isolated():
        # While there is still a network to fetch jars from.
        for project in ("benches/spark", "spark-tests"):
            lines.build(project, line)
        lines.plugin_jar(), lines.overhand_binary()
        if not arguments.run:
            shutil.rmtree(OUT, ignore_errors=True)
    without = isolation.enter()
    show = screen.Screen()
    if without:
        show.say(f"  no namespaces ({without}): cuts and broken disks are left out")
    sizes = SMALL if arguments.small or arguments.smoke else FULL
    references = {name: reference(line, name, size, show) for name, size in sizes.items()}
    setup = Setup(line, sizes, references, arguments.workers, arguments.coordinators, arguments.worker_flag,
                  arguments.coordinator_flag, arguments.patience)
    what = "smoke" if arguments.smoke else arguments.run or f"seed {arguments.seed}"
    heading = f"Chaos: Spark {line.spark}, {arguments.workers} workers, {arguments.coordinators} coordinators, {what}"
    show.say(heading)
    verdicts = []
    try:
        for pair in rounds(arguments, setup, show):
            verdicts.append(pair)
            if not arguments.run:
                report.write(OUT, heading, verdicts)
    except KeyboardInterrupt:
        show.say("interrupted")
    show.say("\n" + report.table(verdicts) + "\n" + report.summary(verdicts))
    if not arguments.run:
        show.say(f"written: {OUT / 'results.md'}")
    return 1 if not verdicts or any(verdict.problems for _, verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
