#!/usr/bin/env python3
"""Shows where the CPU time of a warm shuffle goes, by process and part, sampled by Linux's perf.

  python3 benches/profile.py                         repartition into 200 partitions through Overhand
  python3 benches/profile.py --job repartition --partitions 2000 --shuffle sort

Samples are put under the part that their function belongs to: native functions by their symbols, Java's by the map that
the JVM writes of its compiled code. The JVM's compiler threads are left out: their work ends, a shuffle's does not.
Writes benches/results/profile-SHUFFLE-JOB-PARTITIONS.md.
"""

import argparse
import bisect
import collections
import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "benches"))

import cases
import records
import session
from harness import lines

# The first rule that matches a function's name names the part.
PARTS = [
    ("compress", r"LZ4_compress|ZSTD_.*[cC]ompress|LZ4JNI_LZ4_1compress|compress_limitedOutput"),
    ("decompress", r"LZ4_decompress|ZSTD_.*[dD]ecompress|LZ4JNI_LZ4_1decompress"),
    ("checksum", r"crc32|CRC32|Adler32|XXH"),
    ("network: send", r"tcp_send|tcp_write|sendmsg|sendfile|writev|_copy_from_iter|skb_(copy|splice)|alloc_skb|ip_queue_xmit"),
    ("network: receive", r"tcp_recv|recvmsg|recvfrom|_copy_to_iter|skb_copy_datagram|simple_copy_to_iter|tcp_rcv|handle_softirqs"),
    ("file system", r"ext4_|xfs_|vfs_|generic_perform_write|filemap|pagecache|iomap|copy_page"),
    ("page faults", r"page_fault|handle_mm_fault|do_anonymous_page|clear_page|clear_huge|do_huge_pmd|charge_memcg|lru_"),
    ("scatter: sort by partition, gather", r"overhand_client::(writer|codec)|ShuffleExternalSorter|ShuffleInMemorySorter|RadixSort|TimSort|"
                                           r"UnsafeShuffleWriter|BypassMergeSort|ExternalSorter"),
    ("read: find blocks, keep account", r"overhand_client::reader"),
    ("copy", r"memcpy|memmove|memset|copyMemory|CopyMemory|arraycopy|Copy::"),
    ("writer: rows into the arena", r"io[/.]overhand[/.]spark[/.]write"),
    ("reader: rows out of blocks", r"io[/.]overhand[/.]spark[/.](read|jni)"),
    ("serializer and its streams", r"UnsafeRowSerializer|[sS]erializ|kryo|DataOutputStream|DataInputStream|Buffered|ByteBuffer|LZ4Block|"
                                   r"ShuffleBlockFetcher"),
    ("Spark: rows, expressions, operators", r"org[/.]apache[/.]spark[/.](sql|unsafe|util)|GeneratedClass|GeneratedIterator|benches|scala[/.]"),
    ("Spark: tasks, scheduling, RPC", r"org[/.]apache[/.]spark|io[/.]netty|java[/.]util[/.]concurrent"),
    ("worker: frames and tables", r"overhand_server::worker|overhand_server::memory|overhand_common"),
    ("RocksDB", r"rocksdb"),
    ("JVM: garbage collection", r"G1|GCTask|Gang|ScanEvac|ParScan|oopDesc|MarkSweep|CardTable"),
    ("JVM: interpreter, stubs, runtime", r"^jvm |Interpreter|StubRoutines|_stub|vtable|itable|SharedRuntime|JVM_|Unsafe_|jni_|libjvm|Monitor|Thread::"),
    ("threads: tokio, mio, locks", r"tokio|mio::|parking_lot|futex|std::sync"),
    ("kernel: scheduling, waking, the rest", r"^kernel "),
    ("other", r""),
]
RULES = [(name, re.compile(pattern)) for name, pattern in PARTS]
COMPILERS = re.compile(r"^(C1|C2) CompilerThre|^Sweeper thread")


def part_of(function):
    """The part that a function belongs to."""
    return next(name for name, rule in RULES if rule.search(function))


def children(pid):
    """The processes that `pid` has started."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


class Library:
    """Our native library in a JVM, which unlinks the file when it is loaded, so that perf can't name its functions."""
    NAME = "liboverhand_jni"

    def __init__(self, pid, scratch):
        self.functions, self.mappings = [], []
        for text in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            if self.NAME in text and " r-xp " in text:
                start, end, offset = (int(number, 16) for number in re.match(r"(\w+)-(\w+) \S+ (\w+)", text).groups())
                self.mappings.append((start, end, offset))
        file = scratch / "library.so"
        with zipfile.ZipFile(lines.plugin_jar()) as jar:
            file.write_bytes(jar.read(next(name for name in jar.namelist() if self.NAME in name)))
        segments = subprocess.run(["readelf", "-lW", file], capture_output=True, text=True, check=True).stdout
        code = re.search(r"LOAD\s+0x(\w+) 0x(\w+) .* R E ", segments)
        self.shift = int(code[2], 16) - int(code[1], 16)
        for text in subprocess.run(["nm", "-Cn", "--defined-only", file], capture_output=True, text=True,
                                   check=True).stdout.splitlines():
            address, kind, name = text.split(" ", 2)
            if kind in "tT":
                self.functions.append((int(address, 16), name))

    def function(self, address):
        """The function at an address of the process."""
        for start, end, offset in self.mappings:
            if start <= address < end:
                at = bisect.bisect(self.functions, (address - start + offset + self.shift, "\uffff"))
                return self.functions[at - 1][1] if at else self.NAME
        return self.NAME


class Sampler:
    """Samples the driver, the executors and the server of an application while it is open."""

    def __init__(self, side, data):
        driver = side.applications[0].process.pid
        self.jvms = {driver: "driver"} | {child: "executors" for child in children(driver)}
        self.roles = self.jvms | ({side.server.pid: "server"} if side.server else {})
        self.data = data
        self.perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-o", str(data),
                                      "-p", ",".join(map(str, self.roles))], stderr=subprocess.DEVNULL)

    def stop(self):
        """Ends the sampling and returns, per role, samples by function."""
        self.perf.send_signal(signal.SIGINT)
        self.perf.wait()
        for pid in self.jvms:
            subprocess.run([lines.java_home() / "bin/jcmd", str(pid), "Compiler.perfmap"], check=True,
                           stdout=subprocess.DEVNULL)
        ours = {pid: Library(pid, self.data.parent) for pid in self.jvms}
        script = subprocess.run(["perf", "script", "-i", str(self.data), "-F", "comm,pid,ip,sym,dso"], capture_output=True,
                                text=True, errors="replace").stdout
        for pid in self.jvms:
            pathlib.Path(f"/tmp/perf-{pid}.map").unlink(missing_ok=True)
        functions = collections.defaultdict(collections.Counter)
        for text in script.splitlines():
            match = re.match(r"\s*(.*?)\s+(\d+)\s+([0-9a-f]+) (.*?) \(([^()]*)(?: \(deleted\))?\)$", text)
            # Perf follows what the JVMs start, too: a process that only lived for a moment has no role.
            if not match or COMPILERS.match(match[1]) or int(match[2]) not in self.roles:
                continue
            pid, name, file = int(match[2]), match[4], match[5]
            if name == "[unknown]":
                name = ours[pid].function(int(match[3], 16)) if Library.NAME in file else pathlib.Path(file).name
            where = next((where for where in ("kernel", "jvm") if where in file), None)
            functions[self.roles[pid]][f"{where} {name}" if where else name] += 1
        return functions


def shares(title, counter, total, most):
    """A table of shares of `total`."""
    rows = [f"| `{name}` | {100 * count / total:.1f} % |" for name, count in counter.most_common(most)]
    return "\n".join([f"### {title}", "", "| | share of all CPU time |", "|---|---|", *rows, ""])


def report(functions):
    """Who takes how much, and for what."""
    total = sum(counter.total() for counter in functions.values())
    parts = {role: collections.Counter() for role in functions}
    for role, counter in functions.items():
        for function, count in counter.items():
            parts[role][part_of(function)] += count
    roles = sorted(parts, key=lambda role: -parts[role].total())
    names = sorted({name for counter in parts.values() for name in counter},
                   key=lambda name: -sum(counter[name] for counter in parts.values()))
    share = lambda count: f"{100 * count / total:.1f} %" if count else ""
    out = ["| part | all | " + " | ".join(roles) + " |", "|---|---|" + "---|" * len(roles)]
    for name in names:
        cells = [parts[role][name] for role in roles]
        out.append(f"| {name} | {share(sum(cells))} | " + " | ".join(map(share, cells)) + " |")
    out.append("| **all** | 100 % | " + " | ".join(share(parts[role].total()) for role in roles) + " |")
    out += ["", *[shares(f"{role}, by function", functions[role], total, 15) for role in roles if role != "driver"]]
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spark", choices=lines.LINES, default="3.5")
    parser.add_argument("--shuffle", choices=["overhand", "sort"], default="overhand")
    parser.add_argument("--job", default="repartition")
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--runs", type=int, default=4)
    arguments = parser.parse_args()
    if not shutil.which("perf"):
        raise SystemExit("perf was not found: install it (linux-perf, linux-tools)")
    case = cases.Case(f"{arguments.job}-{arguments.partitions}", arguments.job, arguments.rows, arguments.partitions)
    (lines.CACHE / "bench").mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="profile-", dir=lines.CACHE / "bench"))

    with contextlib.ExitStack() as stack:
        side = session.Side(arguments.shuffle, lines.LINES[arguments.spark], arguments.shuffle, scratch, conf=case.conf)
        stack.callback(side.stop)
        for _ in range(2):
            side.run(case, arguments.rows)
        sampler = Sampler(side, scratch / "perf.data")
        for turn in range(1, arguments.runs + 1):
            result = side.run(case, arguments.rows)
            print(f"run {turn}: wall {result['wall_s']:.2f} s, cpu {result['cpu_s']:.2f} s", flush=True)
        functions = sampler.stop()

    about = records.machine()
    text = [f"# Where the time goes: {case.name}, {arguments.shuffle} shuffle, Spark {lines.LINES[arguments.spark].spark}", "",
            f"{arguments.rows:,} rows, {arguments.runs} runs after two to warm up; {about['cpu']}, {about['cores']} cores; "
            f"commit {about['commit']}, {about['date']}; `python3 benches/profile.py {' '.join(sys.argv[1:])}`.".replace(" `.", "`."), "",
            report(functions)]
    out = ROOT / "benches/results" / f"profile-{arguments.shuffle}-{case.name}.md"
    out.write_text("\n".join(text))
    shutil.rmtree(scratch, ignore_errors=True)
    print(out.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
