"""Where processes spend their CPU time, as counted stacks: JVMs are sampled by async-profiler, which sees Java's functions,
native ones and the kernel's; native programs, and our own threads in JVMs, by Linux's perf.

A stack is a tuple of names, the thread first and the function that ran last. The end of a name tells what it is, as in
async-profiler's own files: `_[j]` compiled Java, `_[i]` inlined, `_[1]` from the JVM's first compiler, `_[0]` interpreted,
`_[k]` the kernel. The JVM's own functions begin with `libjvm`.
"""

import collections
import contextlib
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import zipfile

from harness import lines

# Of async-profiler and of its converter, both from Maven Central.
VERSION = "4.1"
# CPU time between two samples of a process.
INTERVAL_NS = 2_000_000
# How much of a native program's stack perf copies with each sample to find the callers: there are no frame pointers.
STACK_BYTES = 32768
# Narrower frames, in percent of all, are left out of a graph.
NARROWEST = 0.05
OURS = "liboverhand_jni"


def check():
    """Ends the program if perf is missing, or the kernel would not show what it does for a process."""
    if not shutil.which("perf"):
        raise SystemExit("perf was not found: install it (linux-perf, linux-tools)")
    paranoid = int(pathlib.Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    if os.geteuid() != 0 and paranoid > 1:
        raise SystemExit(f"kernel.perf_event_paranoid is {paranoid}: run as root, or "
                         "`sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0`")


def _jar(artifact):
    """A jar of async-profiler, kept under OVERHAND_CACHE."""
    folder = lines.CACHE / "bench" / "async-profiler"
    jar = folder / f"{artifact}-{VERSION}.jar"
    if not jar.exists():
        done = subprocess.run(["mvn", "-B", "-q", "dependency:copy", f"-Dartifact=tools.profiler:{artifact}:{VERSION}",
                               f"-DoutputDirectory={folder}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise SystemExit(f"Maven found no {jar.name}:\n{done.stdout}")
    return jar


def _name(frame):
    """A frame without its library, unless that is the JVM; a thread without its numbers."""
    library, _, function = frame.rpartition("`")
    if "libjvm" in library:
        return f"libjvm {function}"
    return re.sub(r"(?: for task .*|(?:[-#]?\d+)*) tid=\d+\]$", "]", function)


def _agent(scratch):
    """The profiler's library, unpacked once: JVMs have it mapped."""
    system = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}[platform.machine()]
    file = scratch / system / "libasyncProfiler.so"
    if not file.exists():
        with zipfile.ZipFile(_jar("async-profiler")) as jar:
            jar.extract(f"{system}/{file.name}", scratch)
    return file


class Jvm:
    """Samples a JVM until it is told to stop. Our native threads are left to perf: async-profiler takes it for the end of
    one when it has called into Java and detaches."""

    def __init__(self, pid, scratch):
        self.pid, self.scratch = pid, scratch
        tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
        self.ours = [task.name for task in tasks if (task / "comm").read_text().startswith("overhand-")]
        self.native = Native(f"{pid}-ours", scratch, "-t", ",".join(self.ours)) if self.ours else None
        with self._library():
            self._tell(f"start,event=cpu,interval={INTERVAL_NS},cstack=vm,threads")

    @contextlib.contextmanager
    def _library(self):
        """Puts our native library, which the plugin unlinks when it is loaded, where profilers look for its symbols: under
        the name that the process's map has for it, ` (deleted)` included."""
        maps = pathlib.Path(f"/proc/{self.pid}/maps").read_text()
        files = {pathlib.Path(name) for name in re.findall(rf" (/\S*{OURS}\S* \(deleted\))$", maps, re.M)}
        for file in files:
            with zipfile.ZipFile(lines.plugin_jar()) as jar:
                file.write_bytes(jar.read(next(name for name in jar.namelist() if OURS in name)))
        try:
            yield
        finally:
            for file in files:
                file.unlink()

    def _tell(self, command):
        log = self.scratch / f"{self.pid}.log"
        # In quotes, or jcmd would end the argument before its first `=`.
        done = subprocess.run([lines.java_home() / "bin/jcmd", str(self.pid), "JVMTI.agent_load", _agent(self.scratch),
                               f'"{command},log={log}"'], capture_output=True, text=True)
        if "return code: 0" not in done.stdout:
            raise SystemExit(f"async-profiler: {log.read_text() if log.exists() else done.stdout + done.stderr}")

    def stop(self):
        """The stacks since the start."""
        out = self.scratch / f"{self.pid}.collapsed"
        self._tell(f"stop,file={out},collapsed,ann,lib,norm")
        with self._library():
            stacks = self.native.stop() if self.native else collections.Counter()
        for text in out.read_text().splitlines():
            frames, count = text.rsplit(" ", 1)
            if not re.match(rf"\[[^;]*tid=({'|'.join(self.ours)})\]", frames):
                stacks[tuple(map(_name, frames.split(";")))] += int(count)
        return stacks


class Native:
    """Samples native code until it is told to stop; `which` are perf's options that choose processes or threads."""

    def __init__(self, name, scratch, *which):
        self.data = scratch / f"{name}.data"
        self.perf = subprocess.Popen(["perf", "record", "-q", "-N", "-e", "cpu-clock", "-c", str(INTERVAL_NS), "--call-graph",
                                      f"dwarf,{STACK_BYTES}", "-o", self.data, *which])

    def stop(self):
        """The stacks since the start."""
        self.perf.send_signal(signal.SIGINT)
        self.perf.wait()
        script = subprocess.run(["perf", "script", "-i", self.data, "-F", "comm,ip,sym,dso", "--no-inline"],
                                capture_output=True, check=True, text=True, errors="replace").stdout
        stacks = collections.Counter()
        for sample in script.strip().split("\n\n"):
            thread, *frames = sample.splitlines()
            found = [re.match(r"\s*[0-9a-f]+ (.*) \(([^()]*)(?: \(deleted\))?\)$", frame).groups() for frame in frames]
            names = [function.replace(";", ",") + ("_[k]" if "kernel" in library else "") for function, library in found]
            stacks[(f"[{thread.strip()}]", *reversed(names))] += 1
        return stacks


def flame_graph(title, stacks, out, scratch):
    """Writes the stacks as a page that a browser opens by itself."""
    collapsed = scratch / "stacks.collapsed"
    collapsed.write_text("".join(f"{';'.join(frames)} {count}\n" for frames, count in stacks.items()))
    subprocess.run([lines.java_home() / "bin/java", "-jar", _jar("jfr-converter"), "--title", title, "--minwidth",
                    str(NARROWEST), collapsed, out], check=True, stdout=subprocess.DEVNULL)
