"""The workloads: what each runs, with which settings of Spark, and what ratios to Spark's own shuffle are asked for."""

import dataclasses

# Spark's defaults, but for what would change the plan by the size of the data.
PLAIN = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.ansi.enabled": "false",
}
# Overhand takes the codec of Spark's own setting.
ZSTD = PLAIN | {"spark.io.compression.codec": "zstd"}
KRYO = PLAIN | {
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.kryo.classesToRegister": "io.overhand.benches.RddJobs$Item",
}
# Adaptive execution included, with all that it changes while a query runs. Executors have their whole heap from the
# start: what a query of a second pays for the first touch of a heap that grows is another one's luck.
DEFAULTS = {"spark.executor.extraJavaOptions": "-Xms2g -XX:+AlwaysPreTouch"}

# Warm-ups of the first job of an application, whose first runs load and compile what all jobs need: one of them takes as
# long as several later ones.
COLD = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A job of BenchJobs.java with its size.

    `asked_cpu` and `asked_wall` are the largest ratios to Spark's own shuffle that are wanted, None where nothing is
    asked. `conf` is the Spark configuration of both sides, `own` and `ours` what only Spark's own shuffle or only
    Overhand is given besides. `query` is the number of a query of TPC-H. `maps` are the map tasks of each shuffle.
    Rows, partitions and map tasks are shared among `applications` that run at the same time. `curve` is the name of the
    curve whose point it is: its points have applications of their own, so that none finds what another curve left.
    `heap` is what a driver may take. `warm_ups` are the runs before it at least, which are not counted; it has COLD of
    them where it is the first job of its applications.
    """
    name: str
    job: str
    rows: int
    partitions: int
    asked_cpu: float = None
    asked_wall: float = None
    conf: dict = dataclasses.field(default_factory=lambda: PLAIN)
    own: dict = dataclasses.field(default_factory=dict)
    ours: dict = dataclasses.field(default_factory=dict)
    query: int = None
    maps: int = 32
    applications: int = 1
    curve: str = None
    heap: str = "2g"
    warm_ups: int = 1


CASES = [
    Case("repartition-64", "repartition", 20_000_000, 64, 0.70, 0.75),
    Case("repartition-200", "repartition", 20_000_000, 200, 0.70, 0.75),
    Case("repartition-2000", "repartition", 20_000_000, 2000, 0.45, 0.55, warm_ups=4),
    Case("repartition-10000", "repartition", 20_000_000, 10_000, 0.45, 0.55),
    Case("narrow-200", "narrow", 40_000_000, 200, 0.80, 0.85),
    Case("long-200", "long", 300_000, 200, 0.90, 0.90, ZSTD),
    Case("sort-200", "sort", 20_000_000, 200, 0.80, 0.85),
    Case("terasort-rdd-200", "terasort", 10_000_000, 200, 0.80, 0.85, KRYO),
    Case("aggregate-200", "aggregate", 20_000_000, 200, 0.90, 0.90),
    Case("join-200", "join", 10_000_000, 200, 0.90, 0.90),
    Case("window-200", "window", 10_000_000, 200, 0.90, 0.90),
    Case("records-kryo-200", "records", 5_000_000, 200, 1.00, 1.00, KRYO),
    # Java's serialization is Spark's default.
    Case("records-java-200", "records", 5_000_000, 200, 1.00, 1.00),
    # 1000 shuffles of 1000 to 10,000 rows.
    Case("small-1000", "small", 5_500_000, 4, 1.00, 0.90, maps=4),
    # More than Spark's memory: where map tasks write, and where reduce tasks sort too, which no shuffle changes.
    Case("spill-repartition-2000", "repartition", 40_000_000, 2000, maps=4),
    Case("spill-sort-2", "sort", 24_000_000, 2, maps=2),
    *[Case(f"tpch-q{number:02}", "tpch", 0, 200, 1.10, 1.10, DEFAULTS, query=number) for number in range(1, 23)],
]
BY_NAME = {case.name: case for case in CASES}

QUERIES = [case.name for case in CASES if case.query]
# All queries of TPC-H together.
TPCH = "tpch-total"
TPCH_ASKED = (0.95, 0.95)


def chosen(names, cases):
    """The cases that have one of `names` (with commas between them), or contain one that is nobody's; all without
    names."""
    parts, whole = [part for part in names.split(",") if part], {case.name for case in cases}
    return [case for case in cases
            if not parts or any(part == case.name or part not in whole and part in case.name for part in parts)]


def groups(cases):
    """The cases by what applications they can share: lists of cases with the same settings."""
    found = []
    for case in cases:
        settings = (case.conf, case.own, case.ours, case.applications, case.curve, case.heap)
        for others, group in found:
            if others == settings:
                group.append(case)
                break
        else:
            found.append((settings, [case]))
    return [group for _, group in found]
