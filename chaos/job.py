"""The Spark application under the kills: started, followed, told to go on."""

import json
import queue
import shutil
import subprocess
import threading
import time

from harness import lines

MAIN = "io.overhand.chaos.Chaos"


class Hung(Exception):
    """The job was not over in time."""


class Job:
    """A run of io.overhand.chaos.Chaos; `coordinators` None is Spark's own shuffle."""

    def __init__(self, line, name, size, phase, folder, coordinators=None):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.home = lines.spark_home(line, folder)
        (folder / "local").mkdir()
        entries = [lines.build("spark-tests", line).classes]
        conf = {
            "spark.master": "local-cluster[2,1,1024]", "spark.executor.memory": "1g", "spark.ui.enabled": "false",
            "spark.local.dir": folder / "local", "java.io.tmpdir": folder / "local",
            "spark.sql.warehouse.dir": folder / "warehouse", "spark.shuffle.manager": "sort",
        }
        if coordinators:
            entries.insert(0, lines.plugin_jar())
            conf |= {"spark.shuffle.manager": lines.MANAGER, "spark.overhand.coordinators": coordinators,
                     "spark.overhand.fallback": "never"}
        conf["spark.executor.extraClassPath"] = ":".join(map(str, entries))
        command = lines.java([*entries, self.home / "jars/*"], MAIN, name, size.rows, size.maps, size.partitions, phase,
                             heap="1g", conf=conf)
        with open(folder / "driver.log", "w") as errors:
            self.process = subprocess.Popen(command, env=lines.environment(line, self.home), cwd=folder,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.events = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for text in self.process.stdout:
            kind, _, rest = text.strip().partition(" ")
            if kind in ("progress", "phase", "result"):
                self.events.put((kind, rest))
        self.events.put(("over", ""))

    def follow(self, deadline):
        """What the application says, until its end: kind and text. Hung at the deadline."""
        while True:
            try:
                kind, text = self.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Hung from None
            if kind == "over":
                return
            yield kind, json.loads(text) if kind == "result" else text

    def go_on(self):
        """From where it stopped."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def dump_threads(self):
        """Where every thread of the driver and of the executors is, into files beside the logs."""
        pids = [str(self.process.pid), *self._children()]
        for pid in pids:
            with open(self.folder / f"threads-{pid}.txt", "w") as out:
                subprocess.run([lines.java_home() / "bin/jstack", pid], stdout=out, stderr=out, timeout=60)

    def _children(self):
        found = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid="], stdout=subprocess.PIPE, text=True)
        return found.stdout.split()

    def remove(self):
        """Ends it; what is left of it are its logs."""
        executors = self._children()
        self.process.kill()
        self.process.wait()
        # They end by themselves when they miss their driver, but only after a while.
        subprocess.run(["kill", "-9", *executors], stderr=subprocess.DEVNULL)
        for log in self.home.glob("work/*/*/stderr"):
            shutil.copy(log, self.folder / f"executor-{log.parent.name}.log")
        for scratch in ["local", "warehouse", "spark-home", "metastore_db", "artifacts"]:
            shutil.rmtree(self.folder / scratch, ignore_errors=True)
