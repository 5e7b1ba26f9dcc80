#!/usr/bin/env python3
"""Runs Spark's own suites and the differential oracle with our shuffle manager, on every line of Spark.

  python3 spark-tests/run.py                                   all that `make test` runs
  python3 spark-tests/run.py --line 3.5 --only oracle          one part on one line
  python3 spark-tests/run.py --only oracle --modes lz4,tiny --jobs sql-join,rdd-cogroup
  python3 spark-tests/run.py --manager sort                    Spark's own shuffle in our place, to check the harness

Each part closes with a line 'N passed, N failed'; the logs stay under ~/.cache/overhand/spark-tests.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))

import oracle
import suites
from harness import lines

# The second build of 3.5 differs in its Scala version only: a smoke test shows that the one jar runs there too.
PARTS = [
    ("3.5", ["shuffle-suite", "adaptive-suite", "oracle"]),
    ("4.x", ["shuffle-suite", "adaptive-suite", "oracle"]),
    ("3.5_2.13", ["smoke"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", choices=lines.LINES, help="only this line of Spark")
    parser.add_argument("--only", help="only these parts: shuffle-suite, adaptive-suite, suites, oracle, smoke")
    parser.add_argument("--manager", choices=["overhand", "sort"], default="overhand")
    parser.add_argument("--modes", default="", help="only these modes of the oracle")
    parser.add_argument("--jobs", default="", help="only the jobs of the oracle whose names contain one of these")
    parser.add_argument("--timeout", type=int, default=1200, help="seconds that a part may take")
    arguments = parser.parse_args()
    only = (arguments.only or "").replace("suites", "shuffle-suite,adaptive-suite").split(",")
    logs = lines.CACHE / "spark-tests"
    logs.mkdir(parents=True, exist_ok=True)

    ok, ran = True, 0
    for line_name, parts in PARTS:
        if arguments.line and arguments.line != line_name:
            continue
        line = lines.LINES[line_name]
        for part in parts:
            if arguments.only and part not in only:
                continue
            begun, ran = time.monotonic(), ran + 1
            print(f"== {part}, Spark {line.spark} (Scala {line.scala}), {arguments.manager}", flush=True)
            if part in suites.SUITES:
                ok &= suites.run(part, line, arguments.manager, logs, arguments.timeout)
            else:
                ok &= oracle.run(part, line, arguments.manager, logs, arguments.timeout, arguments.modes, arguments.jobs)
            print(f"   {time.monotonic() - begun:.0f} s", flush=True)
    return 0 if ok and ran else 1


if __name__ == "__main__":
    sys.exit(main())
