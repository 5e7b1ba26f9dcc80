#!/usr/bin/env python3
"""Shows where the CPU time of a shuffle goes: executors by async-profiler (from Maven Central), the server by perf where it is installed.

  python3 benches/profile.py                         repartition into 200 partitions
  python3 benches/profile.py --job repartition --partitions 2000 --shuffle sort

Samples are put under the part that their innermost known frame belongs to. Writes benches/results/profile-SHUFFLE-JOB-PARTITIONS.md and,
beside it, the collapsed stacks that flame graphs are made of.
"""

import argparse
import collections
import contextlib
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "benches"))

import run
from harness import lines

PROFILER = "tools.profiler:async-profiler:4.1"

# The first rule that matches a frame, from the innermost frame outwards, names the part.
PARTS = [
    ("compress", r"LZ4_compress|ZSTD_compress|lz4_flex.*compress_into|LZ4Compressor|LZ4JNI_LZ4_1compress|compress_limitedOutput|compress_fast"),
    ("decompress", r"LZ4_decompress|ZSTD_decompress|lz4_flex.*decompress|LZ4.*[dD]ecompress"),
    ("checksum", r"crc32|CRC32|Adler32|XXH"),
    ("scatter: sort by partition, gather", r"overhand_client.*(encoder|index|output|gather|scatter)|ShuffleExternalSorter|ShuffleInMemorySorter|RadixSort|TimSort|UnsafeShuffleWriter|BypassMergeSort|ExternalSorter"),
    ("network: send", r"tcp_send|sock_sendmsg|__sys_send|sendmsg|sendfile|writev|sock_write_iter"),
    ("network: receive", r"tcp_recv|sock_recv|recvmsg|recvfrom|sock_read_iter|__libc_recv"),
    ("file system", r"ext4_|vfs_write|vfs_read|generic_perform_write|FileDispatcherImpl|FileOutputStream|FileInputStream|copy_page_(to|from)_iter|filemap"),
    ("page faults", r"asm_exc_page_fault|handle_mm_fault|do_anonymous_page|clear_page|clear_huge_page|do_huge_pmd"),
    ("copy", r"memcpy|memmove|Unsafe_CopyMemory|copyMemory|_unsafe_arraycopy|jbyte_disjoint_arraycopy"),
    ("writer: rows into the arena", r"io/overhand/spark/write"),
    ("reader: rows out of blocks", r"io/overhand/spark/read"),
    ("serializer streams", r"UnsafeRowSerializer|SerializationStream|DataOutputStream|DataInputStream|BufferedOutputStream|BlockStoreShuffleReader|ShuffleBlockFetcherIterator"),
    ("Spark: rows, expressions, operators", r"org/apache/spark/sql|GeneratedClass|GeneratedIterator|GeneratedProject"),
    ("Spark: tasks, scheduling, RPC", r"org/apache/spark|io/netty|java/util/concurrent"),
    ("JVM: compiler", r"CompileBroker|C2Compiler|Compiler::|compiler_thread"),
    ("JVM: garbage collection", r"G1|GCTaskThread|WorkerThread::run|WorkGang"),
    ("client threads (tokio)", r"tokio|mio|overhand"),
    ("kernel: scheduling, epoll", r"schedule|epoll|futex|swapper|pthread_cond|nanosleep|switch_to"),
]
RULES = [(name, re.compile(pattern)) for name, pattern in PARTS]


def part_of(frames):
    """The part that the innermost known frame belongs to."""
    for frame in reversed(frames):
        for name, rule in RULES:
            if rule.search(frame):
                return name
    return "other"


def profiler():
    """The profiler's library, taken out of its jar."""
    folder = lines.CACHE / "async-profiler"
    library = folder / "libasyncProfiler.so"
    if not library.exists():
        subprocess.run(["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={PROFILER}", f"-DoutputDirectory={folder}"], check=True)
        jar = next(folder.glob("async-profiler-*.jar"))
        arch = "linux-arm64" if platform.machine() == "aarch64" else "linux-x64"
        with zipfile.ZipFile(jar) as archive:
            library.write_bytes(archive.read(f"{arch}/libasyncProfiler.so"))
    return library


def server_symbols(pid, seconds_file):
    """Starts perf on the server; None where there is no perf."""
    if not shutil.which("perf"):
        return None
    return subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-p", str(pid), "-o", str(seconds_file)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def executors(folder):
    """Samples by part, and all collapsed stacks."""
    parts, stacks = collections.Counter(), collections.Counter()
    for path in folder.glob("executor-*.collapsed"):
        for text in path.read_text().splitlines():
            stack, _, count = text.rpartition(" ")
            stacks[stack] += int(count)
            parts[part_of(stack.split(";"))] += int(count)
    return parts, stacks


def server(data):
    """Samples by symbol's part, and the symbols."""
    report = subprocess.run(["perf", "report", "-i", str(data), "--stdio", "--no-children", "-F", "sample,sym", "-q"],
                            capture_output=True, text=True).stdout
    parts, symbols = collections.Counter(), collections.Counter()
    for text in report.splitlines():
        if match := re.match(r"\s*(\d+)\s+\[[.k]\]\s+(.*)", text):
            symbols[match[2].strip()] += int(match[1])
            parts[part_of([match[2]])] += int(match[1])
    return parts, symbols


def shares(title, counter, most=14):
    """A table of shares."""
    total = sum(counter.values()) or 1
    rows = [f"| {name} | {100 * count / total:.1f} % |" for name, count in counter.most_common(most)]
    return "\n".join([f"## {title}", "", "| part | share |", "|---|---|", *rows, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spark", choices=lines.LINES, default="3.5")
    parser.add_argument("--shuffle", choices=["overhand", "sort"], default="overhand")
    parser.add_argument("--job", default="repartition")
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    case = run.Case(f"{arguments.job}-{arguments.partitions}", arguments.job, arguments.rows, arguments.partitions)
    (lines.CACHE / "bench").mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="profile-", dir=lines.CACHE / "bench"))
    options = f"-agentpath:{profiler()}=start,event=ctimer,interval=2ms,cstack=vm,collapsed,file={scratch}/executor-%p.collapsed"

    with contextlib.ExitStack() as stack:
        application = run.Application(arguments.shuffle, lines.LINES[arguments.spark], arguments.shuffle, scratch, [],
                                      {"spark.executor.extraJavaOptions": options})
        stack.callback(application.stop)
        application.run(case, arguments.rows)
        perf = server_symbols(application.server.pid, scratch / "perf.data") if application.server else None
        for turn in range(1, arguments.runs + 1):
            result = application.run(case, arguments.rows)
            print(f"run {turn}: wall {result['wall_s']:.2f} s, cpu {result['cpu_s']:.2f} s", flush=True)
        if perf:
            perf.send_signal(2)
            perf.wait()

    parts, stacks = executors(scratch)
    text = [f"# Where the time goes: {case.name}, {arguments.shuffle} shuffle, Spark {lines.LINES[arguments.spark].spark}", "",
            f"{arguments.rows:,} rows, {arguments.runs} runs and one to warm up. `python3 benches/profile.py {' '.join(sys.argv[1:])}`", "",
            shares("Executors", parts)]
    if perf:
        by_part, by_symbol = server(scratch / "perf.data")
        text += [shares("Server", by_part), shares("Server, by symbol", by_symbol)]
    out = ROOT / "benches/results" / f"profile-{arguments.shuffle}-{case.name}.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(text))
    (lines.CACHE / "bench" / f"{out.stem}.collapsed").write_text("".join(f"{stack} {count}\n" for stack, count in stacks.items()))
    shutil.rmtree(scratch, ignore_errors=True)
    print(out.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
