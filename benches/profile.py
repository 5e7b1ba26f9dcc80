#!/usr/bin/env python3
"""Shows where the CPU time of a warm shuffle goes, by process and part, as a table and as a flame graph.

  python3 benches/profile.py                         repartition into 200 partitions through Overhand
  python3 benches/profile.py --job repartition --partitions 2000 --shuffle sort

Driver and executors are sampled by async-profiler, which Maven fetches, the server and Overhand's own threads by Linux's
perf: both need root, or kernel.perf_event_paranoid of at most 1. In the table, a sample counts for the part to which the
innermost function that is named belongs. The JVM's compiler threads are left out: their work ends, a shuffle's does not.
Writes benches/results/profile-SHUFFLE-JOB-PARTITIONS.md and .html, a page that a browser opens by itself.
"""

import argparse
import collections
import contextlib
import pathlib
import re
import shlex
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "benches"))

import cases
import records
import session
import stacks
from harness import lines

# The first rule that matches a function's name names the part; of a stack, the innermost function that any rule matches.
PARTS = [
    ("decompress", r"LZ4_decompress|ZSTD_.*[dD]ecompress|LZ4JNI_LZ4_1decompress|stream_vbyte::.*unpack"),
    ("compress", r"LZ4_compress|ZSTD_.*[cC]ompress|LZ4JNI_LZ4_1compress|compress_limitedOutput|stream_vbyte::.*pack"),
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
    ("Java's serialization of tasks and messages", r"java[/.]io[/.]Object(In|Out)putStream|JavaSerializ|JavaDeserializ|SerializationProxy"),
    ("serializer and its streams", r"UnsafeRowSerializer|[sS]erializ|kryo|DataOutputStream|DataInputStream|Buffered|ByteBuffer|LZ4Block|"
                                   r"ShuffleBlockFetcher"),
    ("Spark: rows, expressions, operators", r"org[/.]apache[/.]spark[/.](sql|unsafe|util)|GeneratedClass|GeneratedIterator|benches|scala[/.]"),
    ("Spark: tasks, scheduling, RPC", r"org[/.]apache[/.]spark|io[/.]netty|java[/.]util[/.]concurrent"),
    ("worker: frames and tables", r"overhand_server::worker|overhand_server::memory|overhand_common"),
    ("RocksDB", r"rocksdb"),
    ("JVM: garbage collection", r"G1|GCTask|Gang|ScanEvac|ParScan|oopDesc|MarkSweep|CardTable"),
    ("JVM: interpreter, stubs, runtime", r"^libjvm|Interpreter|I2C/C2I|StubRoutines|_stub|vtable|itable|SharedRuntime|JVM_|Unsafe_|jni_|libjvm|Monitor|Thread::"),
    ("threads: waiting, waking, locks", r"tokio|mio::|parking_lot|futex|std::sync"),
]
RULES = [(name, re.compile(pattern)) for name, pattern in PARTS]
KERNEL, OTHER = "kernel: scheduling, waking, the rest", "other"
IN_KERNEL = "_[k]"
OURS = re.compile(r"overhand")
SPARKS = re.compile(r"org[/.]apache[/.]spark|io[/.]netty|scala[/.]|GeneratedClass|benches")
COMPILERS = re.compile(r"\[(C1|C2) CompilerThre|\[Sweeper thread")


def part_of(frames):
    """The part that a stack belongs to. What the kernel does for no part of its own is not its caller's."""
    kernel = frames[-1].endswith(IN_KERNEL)
    for function in reversed(frames):
        if kernel and not function.endswith(IN_KERNEL):
            return KERNEL
        for name, rule in RULES:
            if rule.search(function):
                return name
    return KERNEL if kernel else OTHER


def whose(frames):
    """Whether Overhand or Spark called for a stack: Spark's rows come out of an iterator that Overhand's writer calls."""
    for function in reversed(frames):
        if OURS.search(function):
            return "Overhand"
        if SPARKS.search(function):
            return "Spark"
    return "the JVM"


class Sampler:
    """Samples the driver, the executors and the server of an application while it is open."""

    def __init__(self, side, scratch):
        driver = side.applications[0].process.pid
        children = pathlib.Path(f"/proc/{driver}/task").glob("*/children")
        executors = [int(child) for file in children for child in file.read_text().split()]
        self.samplers = [("driver", stacks.Jvm(driver, scratch))]
        self.samplers += [("executors", stacks.Jvm(executor, scratch)) for executor in executors]
        if side.server:
            self.samplers.append(("server", stacks.Native("server", scratch, "-p", str(side.server.pid))))

    def stop(self):
        """Ends the sampling and returns the stacks, below the role of their process."""
        counted = collections.Counter()
        for role, sampler in self.samplers:
            for frames, count in sampler.stop().items():
                if not COMPILERS.match(frames[0]):
                    counted[(role, *frames)] += count
        return counted


def shares(title, counter, total, most):
    """A table of shares of `total`."""
    rows = [f"| `{name}` | {100 * count / total:.1f} % |" for name, count in counter.most_common(most)]
    return "\n".join([f"### {title}", "", "| | share of all CPU time |", "|---|---|", *rows, ""])


def table(head, counter, roles, total):
    """A table of the shares of what `counter` counts by name and role."""
    share = lambda count: f"{100 * count / total:.1f} %" if count else ""
    sums = collections.Counter()
    for (name, _), count in counter.items():
        sums[name] += count
    out = [f"| {head} | all | " + " | ".join(roles) + " |", "|---|---|" + "---|" * len(roles)]
    out += [f"| {name} | {share(sums[name])} | " + " | ".join(share(counter[name, role]) for role in roles) + " |"
            for name, _ in sums.most_common()]
    whole = [share(sum(count for (_, role), count in counter.items() if role == one)) for one in roles]
    return "\n".join([*out, "| **all** | 100 % | " + " | ".join(whole) + " |", ""])


def report(counted):
    """Who takes how much, and for what."""
    functions, parts, owners = collections.defaultdict(collections.Counter), collections.Counter(), collections.Counter()
    for (role, *frames), count in counted.items():
        functions[role][re.sub(r"_\[[01ij]\]$", "", frames[-1])] += count
        parts[part_of(frames), role] += count
        owners["Overhand" if role == "server" else whose(frames), role] += count
    total = counted.total()
    roles = sorted(functions, key=lambda role: -functions[role].total())
    return "\n".join([table("part", parts, roles, total), table("whose", owners, roles, total),
                      *[shares(f"{role}, by function", functions[role], total, 15) for role in roles if role != "driver"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spark", choices=lines.LINES, default="3.5")
    parser.add_argument("--shuffle", choices=["overhand", "sort"], default="overhand")
    parser.add_argument("--job", default="repartition")
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--runs", type=int, default=4)
    arguments = parser.parse_args()
    stacks.check()
    case = cases.Case(f"{arguments.job}-{arguments.partitions}", arguments.job, arguments.rows, arguments.partitions)
    (lines.CACHE / "bench").mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="profile-", dir=lines.CACHE / "bench"))

    with contextlib.ExitStack() as stack:
        side = session.Side(arguments.shuffle, lines.LINES[arguments.spark], arguments.shuffle, scratch, case.heap,
                            conf=case.conf)
        stack.callback(side.stop)
        for _ in range(2):
            side.run(case, arguments.rows)
        sampler = Sampler(side, scratch)
        for turn in range(1, arguments.runs + 1):
            result = side.run(case, arguments.rows)
            print(f"run {turn}: wall {result['wall_s']:.2f} s, cpu {result['cpu_s']:.2f} s", flush=True)
        counted = sampler.stop()

    about = records.machine()
    title = f"{case.name}, {arguments.shuffle} shuffle, Spark {lines.LINES[arguments.spark].spark}"
    out = ROOT / "benches/results" / f"profile-{arguments.shuffle}-{case.name}.md"
    stacks.flame_graph(title, counted, out.with_suffix(".html"), scratch)
    text = [f"# Where the time goes: {title}", "",
            f"{arguments.rows:,} rows, {arguments.runs} runs after two to warm up; {about['cpu']}, {about['cores']} cores; "
            f"commit {about['commit']}, {about['date']}; `{shlex.join(['python3', 'benches/profile.py', *sys.argv[1:]])}`.", "",
            f"The same samples as a flame graph: [{out.stem}.html]({out.stem}.html).", "",
            report(counted)]
    out.write_text("\n".join(text))
    shutil.rmtree(scratch, ignore_errors=True)
    print(out.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
