"""The differential oracle: the same jobs on Spark's own shuffle and through Overhand, in one JVM per line of Spark."""

import pathlib
import shutil
import subprocess
import tempfile
import threading

from harness import lines

# What shows that the jar runs on another build of Spark.
SMOKE_MODES = "lz4"
SMOKE_JOBS = ("sql-group-by,sql-sort-merge-join,sql-skew-join,sql-2001,rdd-group-by-key,rdd-partition-by,rdd-map-side,"
              "rdd-key-ordering")


def run(part, line, manager, logs, timeout, out, modes, jobs):
    """Runs the oracle (`part` is "oracle", or "smoke" for a few of its jobs), printing its table to `out` as it grows;
    returns whether everything passed."""
    if part == "smoke":
        modes, jobs = modes or SMOKE_MODES, jobs or SMOKE_JOBS
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"{part}-", dir=logs))
    home = lines.spark_home(line, scratch)
    built = lines.build("spark-tests", line)
    entries = [*([lines.plugin_jar()] if manager == "overhand" else []), built.classes]
    label = f"{part} {line.name}"
    conf = {
        "oracle.manager": lines.MANAGER if manager == "overhand" else manager,
        "oracle.server": lines.overhand_binary() if manager == "overhand" else "",
        "oracle.scratch": scratch,
        "oracle.modes": modes,
        "oracle.jobs": jobs,
        "oracle.label": label,
        **lines.folders(scratch, entries),
    }
    command = lines.java([*entries, home / "jars/*"], "io.overhand.oracle.Oracle", heap="2g", conf=conf)
    log = logs / f"{part}-{line.name}.log"
    with open(log, "w") as errors:
        process = subprocess.Popen(command, env=lines.environment(line, home), cwd=scratch, stdout=subprocess.PIPE,
                                   stderr=errors, text=True)
        hung = threading.Event()

        def give_up():
            hung.set()
            process.kill()

        timer = threading.Timer(timeout, give_up)
        timer.start()
        try:
            closed = False
            for text in process.stdout:
                print(text, end="", file=out, flush=True)
                closed = closed or text.startswith(f"{label}: ")
            ok = process.wait() == 0
        finally:
            timer.cancel()
            process.kill()
    if hung.is_set() or not closed:
        why = f"not done within {timeout} s" if hung.is_set() else "it ended early"
        print(f"{label}: 0 passed, 1 failed ({why}, see {log})", file=out)
    if not ok:
        # The executors' logs are what tells why; nothing else of the run is kept.
        kept = logs / f"{part}-{line.name}-executors"
        shutil.rmtree(kept, ignore_errors=True)
        (home / "work").rename(kept)
        print(f"   logs: {log}, and the executors' under {kept}", file=out)
    shutil.rmtree(scratch, ignore_errors=True)
    return ok
