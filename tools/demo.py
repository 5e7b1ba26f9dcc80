#!/usr/bin/env python3
"""Sorts TeraGen records by Spark, once through Overhand and once through Spark's own shuffle, and checks both results.

  make demo                  1 GB on Spark 3.5
  SIZE=10g SPARK=4.x make demo
  KIND=rdd make demo         key-value records of RDDs instead of Spark SQL's rows

Starts `overhand standalone` from target/dist/overhand for itself; everything that it writes is under
~/.cache/overhand/demo, and is deleted at the end. Exits with 1 if anything failed or a result is wrong.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harness import lines, screen, server

RECORD = 100
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def records_of(size):
    """How many records are as large as a text like 1g or 500m says."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", size.strip().lower())
    if not match:
        raise SystemExit(f"SIZE={size} is no size: try 500m or 10g")
    return max(1, round(float(match[1]) * UNITS[match[2]] / RECORD))


class Demo:
    """One demonstration in a folder of its own."""

    def __init__(self, line, records, scratch):
        self.line, self.records, self.scratch = line, records, scratch
        self.screen = screen.Screen()
        self.home = lines.spark_home(line, scratch)
        # About 64 MB in a partition: what an executor of 2 GB sorts without spilling.
        self.partitions = max(4, records * RECORD // 64_000_000)

    def run(self, label, step, *arguments, overhand=None):
        """Runs a step of the TeraSort in a Spark application of its own; returns what it measured."""
        entries = [*([lines.plugin_jar()] if overhand else []), lines.build("benches/spark", self.line).classes]
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{step}-", dir=self.scratch))
        conf = lines.folders(folder, entries) | lines.two_executors(overhand)
        conf["spark.serializer"] = "org.apache.spark.serializer.KryoSerializer"
        command = lines.java([*entries, self.home / "jars/*"], "io.overhand.benches.TeraSort", step, *arguments,
                             heap="1g", conf=conf)
        log, begun, result = self.scratch / "spark.log", time.monotonic(), None
        with open(log, "w") as errors:
            process = subprocess.Popen(command, env=lines.environment(self.line, self.home), cwd=self.scratch,
                                       stdout=subprocess.PIPE, stderr=errors, text=True)
            try:
                for text in process.stdout:
                    kind, _, rest = text.strip().partition(" ")
                    if kind == "progress":
                        stage, done, total = map(int, rest.split())
                        self.screen.progress(f"{label}, stage {stage + 1}", done, total, begun)
                    elif kind == "result":
                        result = json.loads(rest)
            finally:
                if process.poll() is None and result is None:
                    process.kill()
                process.wait()
        shutil.rmtree(folder)
        if process.returncode != 0 or result is None:
            last = log.read_text(errors="replace").splitlines(True)[-30:]
            raise RuntimeError(f"{label} failed:\n" + "".join(last))
        self.screen.say(f"  {label:34} done in {time.monotonic() - begun:.0f} s")
        return result

    def sort(self, name, label, kind, generated, overhand=None):
        """Sorts and validates; the row of the table for it."""
        output = self.scratch / f"sorted-{name}"
        result = self.run(f"sort through {label}", "sort", kind, self.scratch / "input", output, self.partitions,
                          overhand=overhand)
        found = self.run(f"validate what {label} sorted", "validate", output)
        shutil.rmtree(output)
        problems = [] if found["sorted"] else ["not sorted"]
        if found["records"] != generated["records"]:
            problems.append(f"{found['records']:,} records")
        if found["checksum"] != generated["checksum"]:
            problems.append("other records")
        return dict(label=label, problems=problems, **result)


def table(rows, records):
    """What people read at the end."""
    out = [f"\n  {'shuffle':16} {'time':>9} {'CPU':>9} {'shuffled':>11}   check"]
    for row in rows:
        check = ", ".join(row["problems"]) or f"ok: {records:,} records in order, checksum equal"
        shuffled = row["shuffle_bytes"] / 1e6
        out.append(f"  {row['label']:16} {row['wall_s']:7.1f} s {row['cpu_s']:7.1f} s {shuffled:8,.0f} MB   {check}")
    return "\n".join(out)


def main():
    records = records_of(os.environ.get("SIZE") or "1g")
    line = lines.LINES.get(os.environ.get("SPARK") or "3.5")
    kind = os.environ.get("KIND") or "sql"
    if line is None or kind not in ("sql", "rdd"):
        raise SystemExit(f"SPARK must be one of {', '.join(lines.LINES)}, KIND one of sql, rdd")
    folder = lines.CACHE / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    # Input, output and two copies of the shuffle at most.
    if free < 4 * records * RECORD:
        raise SystemExit(f"{records * RECORD / 1e9:.1f} GB to sort need {4 * records * RECORD / 1e9:.1f} GB of disk; "
                         f"{free / 1e9:.1f} GB are free")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    try:
        print(f"TeraSort of {records:,} records ({records * RECORD / 1e9:.1f} GB), Spark {line.spark}, "
              "two executors of one core")
        demo = Demo(line, records, scratch)
        generated = demo.run("generate", "gen", scratch / "input", records, demo.partitions)
        rows = [demo.sort("own", "Spark's own", kind, generated)]
        with server.running(scratch / "data", log=scratch / "server.log") as overhand:
            rows.append(demo.sort("overhand", "Overhand", kind, generated, overhand))
        print(table(rows, records))
        print("  (CPU: seconds of all processes: driver, executors, and Overhand's server)")
        return 1 if any(row["problems"] for row in rows) else 0
    except RuntimeError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
