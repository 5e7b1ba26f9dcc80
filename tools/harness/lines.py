"""Spark's lines, and how a JVM is started on one of them.

Class paths come from Maven, once per line and project, and are kept under ~/.cache/overhand (OVERHAND_CACHE) with the
classes of our own programs. As a command: `python3 tools/harness/lines.py [LINE]` builds everything and prints the
class paths' sizes.
"""

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("OVERHAND_CACHE", pathlib.Path.home() / ".cache/overhand"))
DIST = ROOT / "target/dist/overhand"
MANAGER = "io.overhand.spark.OverhandShuffleManager"

# What Spark's own launcher gives to a JVM from 17 on.
OPENS = [
    "java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.lang.reflect", "java.base/java.io",
    "java.base/java.net", "java.base/java.nio", "java.base/java.util", "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
    "java.base/sun.nio.cs", "java.base/sun.security.action", "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
]
MODULE_OPTIONS = [
    "-XX:+IgnoreUnrecognizedVMOptions", *[f"--add-opens={package}=ALL-UNNAMED" for package in OPENS],
    "-Djdk.reflect.useDirectMethodHandle=false", "-Dio.netty.tryReflectionSetAccessible=true",
]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of Spark with the Scala version that it is built for."""
    name: str
    spark: str
    scala: str
    profile: str


LINES = {line.name: line for line in [
    Line("3.5", "3.5.9", "2.12", "spark-3.5"),
    Line("3.5_2.13", "3.5.9", "2.13", "spark-3.5"),
    Line("4.x", "4.2.0", "2.13", "spark-4.x"),
]}


@dataclasses.dataclass(frozen=True)
class Built:
    """A project of ours built against a line: its classes, and the jars that they need."""
    classes: pathlib.Path
    jars: list


def java_home():
    """The JDK 17 that Spark's users have: JAVA_HOME if it is one, else the first that is installed."""
    homes = [pathlib.Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    homes += sorted(pathlib.Path("/usr/lib/jvm").glob("*17*"))
    for home in homes:
        if (home / "bin/javac").exists():
            return home
    raise SystemExit("no JDK 17 was found: set JAVA_HOME")


def build(project, line):
    """Builds the Maven project in the folder `project` (relative to the checkout) against `line`, unless it is built
    already from the same sources."""
    source = ROOT / project
    out = CACHE / "java" / project.replace("/", "-") / line.name
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(repr(line).encode())
    for path in [source / "pom.xml", *sorted((source / "src").rglob("*"))]:
        if path.is_file():
            digest.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes())
    with open(out / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, listing = out / "stamp", out / "jars.txt"
        built = stamp.exists() and stamp.read_text() == digest.hexdigest()
        if not built or not all(pathlib.Path(jar).exists() for jar in listing.read_text().split(":")):
            shutil.rmtree(out / "classes", ignore_errors=True)
            command = [
                "mvn", "-B", "-q", "-f", str(source / "pom.xml"), f"-P{line.profile}", f"-Dspark.version={line.spark}",
                f"-Dscala.binary={line.scala}", f"-Dbuild.dir={out}", "compile", "dependency:build-classpath",
                f"-Dmdep.outputFile={listing}", "-Dmdep.includeScope=runtime",
            ]
            env = dict(os.environ, JAVA_HOME=str(java_home()))
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                raise SystemExit(f"building {project} for Spark {line.spark} failed:\n{done.stdout}")
            stamp.write_text(digest.hexdigest())
        return Built(out / "classes", listing.read_text().strip().split(":"))


def spark_home(line, run_dir):
    """Makes a folder under `run_dir` that Spark takes for an installation: local-cluster starts its executors with the
    jars in it, and keeps their logs in its work folder."""
    home = pathlib.Path(run_dir) / "spark-home"
    jars = home / "jars"
    jars.mkdir(parents=True, exist_ok=True)
    for number, jar in enumerate(build("benches/spark", line).jars):
        link = jars / f"{number:03}-{pathlib.Path(jar).name}"
        if not link.is_symlink():
            link.symlink_to(jar)
    return home


def environment(line, home, **more):
    """The environment of a Spark driver whose installation is `home`."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPARK_")}
    env.update(JAVA_HOME=str(java_home()), SPARK_HOME=str(home), SPARK_SCALA_VERSION=line.scala,
               SPARK_LOCAL_IP="127.0.0.1", **more)
    return env


def folders(scratch, entries):
    """The part of Spark's configuration that says where things are: its files below `scratch`, `entries` on the
    executors' class path."""
    local = scratch / "local"
    local.mkdir()
    return {
        "spark.local.dir": local, "java.io.tmpdir": local, "spark.sql.warehouse.dir": scratch / "warehouse",
        "spark.executor.extraClassPath": ":".join(map(str, entries)),
    }


def two_executors(overhand=None):
    """The part of Spark's configuration that says what runs: two executors of one core, and a shuffle: the one of the
    server or cluster `overhand`, or Spark's own."""
    conf = {"spark.master": "local-cluster[2,1,2048]", "spark.executor.memory": "2g", "spark.ui.enabled": "false"}
    if not overhand:
        return conf | {"spark.shuffle.manager": "sort"}
    return conf | {"spark.shuffle.manager": MANAGER, "spark.overhand.coordinators": overhand.coordinators,
                   "spark.overhand.fallback": "never", "overhand.server.pid": ",".join(map(str, overhand.pids))}


def java(class_path, main, *arguments, heap="1g", options=(), conf=None):
    """The command that runs `main`; `conf` becomes Spark's configuration."""
    properties = [f"-D{key}={value}" for key, value in (conf or {}).items()]
    return [str(java_home() / "bin/java"), f"-Xmx{heap}", "-Xss4m", *MODULE_OPTIONS, *options, *properties,
            "-cp", ":".join(str(entry) for entry in class_path), main, *[str(argument) for argument in arguments]]


def plugin_jar():
    """Our plugin: OVERHAND_JAR if set, else the one that `make dist` puts in place."""
    jar = pathlib.Path(os.environ.get("OVERHAND_JAR", DIST / "jars/overhand-spark.jar")).resolve()
    if not jar.exists():
        raise SystemExit(f"{jar} does not exist: run `make dist`")
    return jar


def overhand_binary():
    """Our server: OVERHAND_BIN if set, else the one that `make dist` puts in place."""
    binary = pathlib.Path(os.environ.get("OVERHAND_BIN", DIST / "bin/overhand")).resolve()
    if not binary.exists():
        raise SystemExit(f"{binary} does not exist: run `make dist`")
    return binary


def main():
    for name in sys.argv[1:] or LINES:
        for project in ["benches/spark", "spark-tests"]:
            built = build(project, LINES[name])
            print(f"{name}: {project}: {len(built.jars)} jars, classes in {built.classes}")


if __name__ == "__main__":
    main()
