"""Spark's own suites, from its published test jars, with our shuffle manager in them."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from harness import lines, server

# They look at the local files of Spark's own shuffle, which a remote shuffle does not write.
LOCAL_FILE_TESTS = [
    "SPARK-3426",
    "[SPARK-4085] rerun map stage if reduce stage cannot find its local shuffle file",
    "cannot find its local shuffle file if no execution of the stage and rerun shuffle",
    "SPARK-36206: shuffle checksum detect disk corruption",
]
# It asserts how many blocks Spark's own reader fetches in a batch.
BATCH_FETCH_TEST = "SPARK-34091"

SUITES = {
    "shuffle-suite": ("io.overhand.suites.OverhandShuffleSuite", [], LOCAL_FILE_TESTS),
    "adaptive-suite": ("org.apache.spark.sql.execution.adaptive.AdaptiveQueryExecSuite",
                       ["-z", "skew", "-z", "coalesc", "-z", "local"], [BATCH_FETCH_TEST]),
}
# A test's line in the report is "- name" with a suffix when it failed.
PASSED = re.compile(r"^- (.*?)(?: \(\d.*\))?$")
FAILED = re.compile(r"^- (.*?) \*\*\* FAILED \*\*\*")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def class_path(line, manager):
    """Absolute entries only: local-cluster's executors start in a folder of their own."""
    built = lines.build("spark-tests", line)
    return [*([lines.plugin_jar()] if manager == "overhand" else []), built.classes, *built.jars]


def verdicts(report):
    """The names of the tests that passed and of those that failed, from ScalaTest's report."""
    passed, failed = [], []
    for raw in report.splitlines():
        text = COLOUR.sub("", raw)
        if match := FAILED.match(text):
            failed.append(match[1])
        elif "!!! " not in text and (match := PASSED.match(text)):
            passed.append(match[1])
    return passed, failed


def run(name, line, manager, logs, timeout, out):
    """Runs one suite and prints its closing line to `out`; returns whether all that is asked for passed."""
    suite, selection, excluded = SUITES[name]
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=logs))
    home = scratch / "home"
    (home / "work").mkdir(parents=True)
    conf = {
        "spark.test.home": home, "spark.testing": "1", "spark.ui.enabled": "false", "spark.local.dir": scratch,
        "spark.unsafe.exceptionOnMemoryLeak": "true", "java.io.tmpdir": scratch, "derby.system.home": scratch,
    }
    overhand = None
    if manager == "overhand":
        overhand = server.Server(scratch / "data", log=logs / f"{name}-{line.name}-server.log")
        conf |= {"spark.shuffle.manager": lines.MANAGER, "spark.overhand.coordinators": overhand.coordinators,
                 "spark.overhand.fallback": "never",
                 # Off by default with our manager, as it only costs; the suite's tests of it ask for it.
                 "spark.sql.adaptive.localShuffleReader.enabled": "true"}
    entries = class_path(line, manager)
    command = lines.java(
        entries, "org.scalatest.tools.Runner", "-R", lines.build("spark-tests", line).classes, "-s", suite, "-oW",
        *selection, heap="2g", options=["-ea"], conf=conf)
    env = lines.environment(line, home, SPARK_TESTING="1", SPARK_DIST_CLASSPATH=":".join(map(str, entries)))
    log = logs / f"{name}-{line.name}.log"
    hung = threading.Event()
    with open(log, "w") as report:
        process = subprocess.Popen(command, env=env, cwd=scratch, stdout=report, stderr=subprocess.STDOUT)

        def give_up():
            hung.set()
            process.kill()

        timer = threading.Timer(timeout, give_up)
        timer.start()
        try:
            process.wait()
        finally:
            timer.cancel()
            process.kill()
            if overhand:
                overhand.stop()
    passed, failed = verdicts(log.read_text(errors="replace"))
    if manager == "overhand":
        failed = [test for test in failed if not any(part in test for part in excluded)]
        passed = [test for test in passed if not any(part in test for part in excluded)]
    if hung.is_set():
        failed.append(f"(not done within {timeout} s)")
    if not passed:
        failed.append("(no test ran)")
    shutil.rmtree(scratch, ignore_errors=True)
    for test in failed:
        print(f"  failed: {test}", file=out)
    print(f"{name} {line.name}: {len(passed)} passed, {len(failed)} failed" + (f", see {log}" if failed else ""),
          file=out, flush=True)
    return not failed
