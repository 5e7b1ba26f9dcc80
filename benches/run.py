#!/usr/bin/env python3
"""Times jobs through Overhand and through Spark's own shuffle, in turn, on this machine.

  python3 benches/run.py                                  all jobs on Spark 3.5, five runs each
  python3 benches/run.py --only repartition-64,small --runs 3 --spark 4.x
  python3 benches/run.py --against sort                   Spark's own shuffle in both places: how much is noise
  python3 benches/run.py --replicas                       what two replicas cost, against one
  python3 benches/run.py --curves --runs 3                how cost grows with rows, partitions, map tasks, applications

Two Spark applications stand ready, each with two executors of one core; they run every job to warm up, and then in
turn, in both orders. Jobs that need other settings of Spark get another pair. A run counts wall seconds, the CPU
seconds of all processes (driver, executors, shuffle server), the peak of their resident memory, and the bytes that
tasks spilled. The rows that come out are counted and summed up, and must be the same.
Writes benches/results/spark-LINE.{jsonl,md,svg}, where jobs that are not run keep their results.

With --replicas both applications go through Overhand, each with a coordinator and two workers of its own, one with
spark.overhand.replicas=1, the other with 2; the servers' CPU seconds are shown apart from Spark's.
Writes benches/results/replicas-spark-LINE.{jsonl,md}.

With --curves jobs of several sizes are run, smallest first, each curve in applications of its own. A point that takes
longer than --limit has fewer runs; one that fails is told in the results, and ends its curve. What was measured is kept
when the command is broken off. --only takes names of curves, rows, partitions, maps, applications, or of points, rows-10M.
Writes benches/results/curves-spark-LINE.{jsonl,md} and a picture for each curve, CURVE.svg.

With another size or other settings the results go to OVERHAND_CACHE/bench/results instead.
"""

import argparse
import contextlib
import itertools
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import cases
import curves
import records
import report
import session
from harness import lines


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spark", choices=lines.LINES, default="3.5")
    parser.add_argument("--only", default="", help="only the jobs of these names, or whose names contain one of these")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1,
                        help="pairs of applications, each of which does all the runs: what a JVM's compiler makes of a "
                             "short job differs from one JVM to the next, and stays as it is")
    parser.add_argument("--warm-ups", type=int, default=1,
                        help="runs before these, which are not counted, as many as begin within 150 s; the first job "
                             "of an application has more")
    parser.add_argument("--least", type=float, default=40, metavar="SECONDS",
                        help="more runs of a job that takes less in all, and more before them that are not counted "
                             "(%(default)g, times the scale)")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the rows, for a quick look")
    parser.add_argument("--against", choices=["overhand", "sort"], default="overhand",
                        help="what is compared with Spark's own")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--replicas", action="store_true", help="compare two replicas with one instead")
    kind.add_argument("--curves", action="store_true", help="measure how cost grows instead")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS",
                        help="with --curves: after as many a point has no more runs (%(default)g)")
    parser.add_argument("--server-flag", action="append", default=[], help="a flag for the server")
    for side, whose in [("", "both sides"), ("own-", "Spark's own side"), ("other-", "the side compared with it")]:
        parser.add_argument(f"--{side}conf", action="append", default=[], type=setting, metavar="KEY=VALUE",
                            help=f"a setting of Spark for {whose}")
    parser.add_argument("--out", type=pathlib.Path, help="the folder for the results")
    return parser.parse_args()


def setting(text):
    """A KEY=VALUE of the command line."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    return key, value


def sides(given, case):
    """The two applications that take turns: by name, what session.Side takes."""
    both, own, other = case.conf | dict(given.conf), dict(given.own_conf), dict(given.other_conf)
    if given.replicas:
        one, two = ({"spark.overhand.replicas": count} for count in (1, 2))
        return {"replicas-1": dict(manager="overhand", workers=2, conf=both | case.ours | one | own),
                "replicas-2": dict(manager="overhand", workers=2, conf=both | case.ours | two | other)}
    if given.against == "sort":
        second = {"sort-again": dict(manager="sort", conf=both | case.own | other)}
    else:
        second = {"overhand": dict(manager="overhand", conf=both | case.ours | other)}
    return {"sort": dict(manager="sort", conf=both | case.own | own)} | second


def destination(given):
    """The results' path without its ending."""
    changed = given.scale != 1 or given.conf or given.own_conf or given.other_conf or given.server_flag
    folder = given.out or (lines.CACHE / "bench/results" if changed else ROOT / "benches/results")
    if given.replicas:
        return folder / f"replicas-spark-{given.spark}"
    kind = "curves-" if given.curves else ""
    return folder / (f"{kind}spark-{given.spark}" + ("-noise" if given.against == "sort" else ""))


def measure(group, given, line, scratch, pair, record):
    """Measures cases that share their applications, in the pair of that number. False if one failed that is a point of a
    curve: the larger ones after it are left out."""
    settings = sides(given, group[0])

    def add(run):
        record(dict(spark=line.spark, scala=line.scala, conf=settings[run["shuffle"]]["conf"], pair=pair, **run))

    with contextlib.ExitStack() as stack:
        ready = []
        for name, how in settings.items():
            ready.append(session.Side(name, line, scratch=scratch, server_flags=given.server_flag,
                                      applications=group[0].applications, heap=group[0].heap, **how))
            stack.callback(ready[-1].stop)
        for case in group:
            warm_ups = max(given.warm_ups, case.warm_ups, cases.COLD if case is group[0] else 0)
            how_long = dict(limit=given.limit) if given.curves else dict(least=given.least * given.scale)
            try:
                session.measure(case, ready, warm_ups, given.runs, given.scale, add, **how_long)
            except session.Failed as failure:
                if not given.curves:
                    raise
                print(f"{case.name}: {failure}", flush=True)
                record(dict(case=case.name, failed=failure.what, others=failure.results))
                return False
    return True


def pages(given, runs, name):
    """The pages that are made of the runs, by the ending of the file."""
    if given.replicas:
        return report.replicas(runs)
    other = "sort-again" if given.against == "sort" else "overhand"
    return curves.pages(runs, name, other) if given.curves else report.paired(runs, name, other)


def main():
    given = arguments()
    known = curves.POINTS if given.curves else cases.CASES
    chosen = cases.chosen(given.only, known)
    if not chosen:
        raise SystemExit(f"no job has a name like {given.only}: there are {', '.join(case.name for case in known)}")
    line, about, path = lines.LINES[given.spark], records.machine(), destination(given)
    results = records.Results(path.with_name(path.name + ".jsonl"), known)
    (lines.CACHE / "bench").mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=lines.CACHE / "bench"))

    try:
        for number, (group, pair) in enumerate(itertools.product(cases.groups(chosen), range(1, given.pairs + 1))):
            if measure(group, given, line, scratch / str(number), pair, lambda run: results.add(about | run)):
                shutil.rmtree(scratch / str(number), ignore_errors=True)
        with contextlib.suppress(OSError):
            scratch.rmdir()
    finally:
        if results.begun:
            written = pages(given, results.lines, path.name)
            for ending, text in written.items():
                path.with_name(f"{path.name}.{ending}").write_text(text)
            print("\n" + written["md"] + f"\nwritten: {path}.jsonl" + "".join(f", .{ending}" for ending in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
