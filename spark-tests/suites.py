"""Spark's own suites, from its published test jars, with our shuffle manager in them."""

import dataclasses
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from harness import lines, server


@dataclasses.dataclass(frozen=True)
class Run:
    """One start of ScalaTest.

    `selection` are parts of the names of the tests to run (all if there are none), `not_ours` of those whose outcome
    does not count with our manager, `conf` is what Spark is configured with then, `only_on` the line with the tests.
    """
    suite: str
    selection: tuple = ()
    not_ours: tuple = ()
    conf: tuple = ()
    only_on: str = None


ADAPTIVE = "org.apache.spark.sql.execution.adaptive.AdaptiveQueryExecSuite"
# Its threshold fits the size of one column of one value in Spark's own format; ours with LZ4 is smaller, so that there
# is no skew to handle.
SMALLER_THAN_SPARKS = "SPARK-44065: Optimize BroadcastHashJoin skew"

SUITES = {
    "shuffle-suite": [
        Run("io.overhand.suites.OverhandShuffleSuite", not_ours=(
            # They look at the local files of Spark's own shuffle, which a remote shuffle does not write.
            "SPARK-3426",
            "[SPARK-4085] rerun map stage if reduce stage cannot find its local shuffle file",
            "cannot find its local shuffle file if no execution of the stage and rerun shuffle",
            "SPARK-36206: shuffle checksum detect disk corruption",
        )),
    ],
    "adaptive-suite": [
        Run(ADAPTIVE, ("skew", "coalesc", "local"),
            # The first asserts how many blocks Spark's own reader fetches in a batch; the second has a run of its own.
            not_ours=("SPARK-34091", SMALLER_THAN_SPARKS),
            # Off by default with our manager, as it only costs; the tests of local reading ask for it.
            conf=(("spark.sql.adaptive.localShuffleReader.enabled", "true"),)),
        Run(ADAPTIVE, (SMALLER_THAN_SPARKS,), conf=(("spark.overhand.compression.codec", "none"),), only_on="4.x"),
    ],
}
# A test's line in the report is "- name", with a suffix when it failed.
PASSED = re.compile(r"^- (.*?)(?: \(\d.*\))?$")
FAILED = re.compile(r"^- (.*?) \*\*\* FAILED \*\*\*")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(name, line, manager, logs, timeout, out):
    """Runs a suite and prints its closing line to `out`; returns whether all that is asked for passed."""
    passed, failed, reports = [], [], []
    for number, one in enumerate(SUITES[name]):
        if one.only_on not in (None, line.name) or (one.only_on and manager == "sort"):
            continue
        reports.append(logs / f"{name}-{line.name}{f'-{number}' if number else ''}.log")
        in_time = start(one, line, manager, reports[-1], timeout)
        good, bad = verdicts(reports[-1].read_text(errors="replace"))
        if manager == "overhand":
            good, bad = ([test for test in tests if not any(part in test for part in one.not_ours)]
                         for tests in (good, bad))
        if not in_time:
            bad.append(f"(not done within {timeout} s)")
        elif not good:
            bad.append(f"(no test of {one.suite} passed)")
        passed, failed = passed + good, failed + bad
    for test in failed:
        print(f"  failed: {test}", file=out)
    where = ", see " + ", ".join(map(str, reports)) if failed else ""
    print(f"{name} {line.name}: {len(passed)} passed, {len(failed)} failed{where}", file=out, flush=True)
    return not failed


def start(one, line, manager, report, timeout):
    """Runs ScalaTest with a server of its own, its output going to the file `report`; tells if it ended in time."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="suite-", dir=report.parent))
    home = scratch / "home"
    (home / "work").mkdir(parents=True)
    conf = {
        "spark.test.home": home, "spark.testing": "1", "spark.ui.enabled": "false", "spark.local.dir": scratch,
        "spark.unsafe.exceptionOnMemoryLeak": "true", "java.io.tmpdir": scratch, "derby.system.home": scratch,
    }
    built = lines.build("spark-tests", line)
    # Absolute entries only: local-cluster's executors start in a folder of their own.
    entries = [built.classes, *built.jars]
    overhand = None
    if manager == "overhand":
        overhand = server.Server(scratch / "data", log=report.with_suffix(".server.log"))
        entries.insert(0, lines.plugin_jar())
        conf |= {"spark.shuffle.manager": lines.MANAGER, "spark.overhand.coordinators": overhand.coordinators,
                 "spark.overhand.fallback": "never", **dict(one.conf)}
    selection = [part for text in one.selection for part in ("-z", text)]
    command = lines.java(entries, "org.scalatest.tools.Runner", "-R", built.classes, "-s", one.suite, "-oW", *selection,
                         heap="2g", options=["-ea"], conf=conf)
    env = lines.environment(line, home, SPARK_TESTING="1", SPARK_DIST_CLASSPATH=":".join(map(str, entries)))
    hung = threading.Event()
    try:
        with open(report, "w") as output:
            process = subprocess.Popen(command, env=env, cwd=scratch, stdout=output, stderr=subprocess.STDOUT)

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
    finally:
        if overhand:
            overhand.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    return not hung.is_set()


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
