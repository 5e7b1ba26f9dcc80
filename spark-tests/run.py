#!/usr/bin/env python3
"""Runs Spark's own suites and the differential oracle with our shuffle manager, on every line of Spark.

  python3 spark-tests/run.py                                   all that `make test` runs
  python3 spark-tests/run.py --line 3.5 --only oracle          one part on one line
  python3 spark-tests/run.py --only oracle --modes lz4,tiny --jobs sql-join,rdd-cogroup
  python3 spark-tests/run.py --manager sort                    Spark's own shuffle in our place, to check the harness

Each part closes with a line 'N passed, N failed'; the logs stay under ~/.cache/overhand/spark-tests.
"""

import argparse
import concurrent.futures
import io
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))

import oracle
import suites
from harness import lines

# The longest first. The second build of 3.5 differs in its Scala version only: a smoke test shows that the one jar runs
# there too.
PARTS = [
    ("3.5", "oracle"), ("4.x", "oracle"), ("4.x", "shuffle-suite"), ("3.5", "shuffle-suite"), ("4.x", "adaptive-suite"),
    ("3.5", "adaptive-suite"), ("3.5_2.13", "smoke"),
]


def run(line_name, part, arguments, logs, out):
    """Runs one part on one line of Spark."""
    line, begun = lines.LINES[line_name], time.monotonic()
    print(f"== {part}, Spark {line.spark} (Scala {line.scala}), {arguments.manager}", file=out, flush=True)
    if part in suites.SUITES:
        ok = suites.run(part, line, arguments.manager, logs, arguments.timeout, out)
    else:
        ok = oracle.run(part, line, arguments.manager, logs, arguments.timeout, out, arguments.modes, arguments.jobs)
    print(f"   {time.monotonic() - begun:.0f} s", file=out, flush=True)
    return ok


def run_buffered(*work):
    """Runs one part while others run: its output appears in one piece when it is done."""
    out = io.StringIO()
    ok = False
    try:
        ok = run(*work, out)
    finally:
        print(out.getvalue(), end="", flush=True)
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", choices=lines.LINES, help="only this line of Spark")
    parser.add_argument("--only", default="",
                        help="only these parts: shuffle-suite, adaptive-suite, suites, oracle, smoke")
    parser.add_argument("--manager", choices=["overhand", "sort"], default="overhand")
    parser.add_argument("--modes", default="", help="only these modes of the oracle")
    parser.add_argument("--jobs", default="", help="only the jobs of the oracle whose names contain one of these")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds that a part may take")
    parser.add_argument("--at-once", type=int, default=2,
                        help="parts that run at the same time; with 1 their output is live")
    arguments = parser.parse_args()
    only = arguments.only.replace("suites", "shuffle-suite,adaptive-suite").split(",")
    logs = lines.CACHE / "spark-tests"
    logs.mkdir(parents=True, exist_ok=True)

    chosen = [(line, part) for line, part in PARTS
              if arguments.line in (None, line) and (not arguments.only or part in only)]
    for line in dict.fromkeys(line for line, _ in chosen):
        for project in ("benches/spark", "spark-tests"):
            lines.build(project, lines.LINES[line])
    if len(chosen) < 2 or arguments.at_once < 2:
        verdicts = [run(*work, arguments, logs, sys.stdout) for work in chosen]
    else:
        with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
            running = [pool.submit(run_buffered, *work, arguments, logs) for work in chosen]
            verdicts = [future.result() for future in running]
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
