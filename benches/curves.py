"""How cost grows with the work: each curve runs a job at several sizes of one kind, while all else stays the same."""

import dataclasses

import cases
import chart
import report
from records import CPU, PEAK, medians

# What a curve does not change. It is less than in the other jobs, so that the largest points end in minutes.
ROWS, PARTITIONS, MAPS = 5_000_000, 200, 32
# Of a driver, which keeps something of each task of a stage, 100,000 at the most.
HEAP = "2g"
# Of one core each, of all applications together.
EXECUTORS = 4


@dataclasses.dataclass(frozen=True)
class Curve:
    """The points of a curve, smallest first.

    `size` is the key of a run that says where on the curve it is; `one` is what it counts, whose cost is told in `unit`
    of `per_second` to a second. `about` says what is done and what is expected of it.
    """
    name: str
    size: str
    one: str
    unit: str
    per_second: float
    about: str
    points: list


def points(curve, job, sizes):
    """The cases of a curve: `sizes` has what each sets, by its size."""
    same = dict(rows=ROWS, partitions=PARTITIONS, maps=MAPS, heap=HEAP)
    return [cases.Case(f"{curve}-{chart.short(size)}", job, curve=curve, **same | settings)
            for size, settings in sizes.items()]


CURVES = [
    Curve("rows", "rows_asked", "row", "µs", 1e6,
          f"Rows of two longs into {PARTITIONS} partitions by {MAPS} map tasks. They are narrow since 100 M rows of 104 bytes "
          "are more than a server's budget by default on a machine of 24 GB, a quarter of its memory. What is expected is a "
          "cost in proportion, beside the fixed cost of the tasks.",
          points("rows", "narrow", {rows * 1_000_000: dict(rows=rows * 1_000_000) for rows in (1, 3, 10, 30, 100)})),
    Curve("partitions", "partitions", "partition", "ms", 1e3,
          f"{ROWS:,} rows of 104 bytes by {MAPS} map tasks. A partition is a reduce task. What is expected is the cost of the "
          "rows and the same for each further partition.",
          points("partitions", "repartition", {10**power: dict(partitions=10**power) for power in range(1, 6)})),
    Curve("maps", "maps", "map task", "ms", 1e3,
          f"{ROWS:,} rows of 104 bytes into {PARTITIONS} partitions. What is expected is the cost of the rows and the same for "
          "each further map task.",
          points("maps", "repartition", {10**power: dict(maps=10**power) for power in range(1, 5)})),
    Curve("applications", "applications", "application", "s", 1,
          f"{2 * ROWS:,} rows of 104 bytes, {PARTITIONS} partitions and {MAPS} map tasks, shared among applications that run at "
          f"the same time, each with a driver of its own; {EXECUTORS} executors of one core, shared among them too; one server "
          "for all. What is expected is the same cost, but for the drivers.",
          points("applications", "repartition", {
              count: dict(rows=2 * ROWS, applications=count,
                          conf=cases.PLAIN | {"spark.master": f"local-cluster[{EXECUTORS // count},1,2048]"})
              for count in (1, 2, 4)})),
]
POINTS = [case for curve in CURVES for case in curve.points]


def pages(runs, name, other):
    """The pages of the curves, by the ending of the file: a table for each, and a picture."""
    measured = [run for run in runs if "failed" not in run]
    found, out, pictures = report.complete(measured), [], {}
    for curve in CURVES:
        names = {case.name for case in curve.points}
        rows = sorted((Row(curve, point, sides) for point, sides in found.items() if point in names),
                      key=lambda row: row.size)
        failed = [f"Left out from {run['case']} on: {run['failed']}.{others(run)}\n" for run in runs
                  if run["case"] in names and "failed" in run]
        if rows:
            pictures[f"{curve.name}.svg"] = picture(curve, rows, other)
            out += [f"## By {curve.name}\n{curve.about}\n", table(curve, rows, other),
                    f"![{curve.name}]({name}.{curve.name}.svg)\n"]
        out += failed
    heading = report.heading(measured, "two executors of one core if nothing else is said, shuffle server") if found else ""
    return {"md": heading + "\n".join(out), **pictures}


def others(run):
    """What a failed run's other sides took, as text."""
    return "".join(f" Through {name} it took {result['cpu_s']:.1f} CPU s / {result['wall_s']:.1f} s in one run, and "
                   f"{result['peak_mb']} MB." for name, result in run.get("others", {}).items())


class Row(report.Row):
    """A row of a curve's table: `size` is where on the curve it is."""

    def __init__(self, curve, name, sides):
        super().__init__(name, *map(medians, sides), asked=(None, None))
        self.size, self.runs = sides[0][0][curve.size], len(sides[0])


def table(curve, rows, other):
    """The medians as a table in Markdown, with what one costs: of all, and of those that a point has more than the
    one before."""
    cost = f"CPU {curve.unit} per {curve.one}, own / {other}"
    out = [f"| {curve.name} | runs | Spark's own: CPU s (driver + executors) / wall s "
           f"| {other}: CPU s (driver + executors + server) / wall s | ratio CPU | ratio wall | {cost} "
           f"| of each further one | peak MB own (driver + executors) | peak MB {other} (driver + executors + server) "
           f"| shuffled MB own / {other} | spilled MB own / {other} |", "|---" * 12 + "|"]
    for before, row in zip([None, *rows], rows):
        sides = (row.own, row.ours)
        each = [side["cpu_s"] / row.size for side in sides]
        further = [(side["cpu_s"] - earlier["cpu_s"]) / (row.size - before.size)
                   for side, earlier in zip(sides, (before.own, before.ours))] if before else []
        cells = [
            f"{row.size:,}", str(row.runs),
            *(f"{split(side, 'cpu_s', CPU, 1)} / {side['wall_s']:.1f}" for side in sides),
            *(f"{ratio:.2f}" for ratio in row.ratios()),
            *(" / ".join(three(value * curve.per_second) for value in values) or "–" for values in (each, further)),
            *(split(side, "peak_mb", PEAK, 0) for side in sides),
            *(report.both(row, key, 1e6) for key in ("shuffle_bytes", "spilled_disk_bytes")),
        ]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def three(value):
    """A number of three digits."""
    return f"{float(f'{value:.3g}'):,.12g}"


def split(side, total, parts, digits):
    """A figure and what it is the sum of."""
    kinds = " + ".join(f"{side[part]:.{digits}f}" for part in parts if side[part] is not None)
    return f"{side[total]:.{digits}f} ({kinds})"


def picture(curve, rows, other):
    """CPU time, wall time and memory of both sides."""
    panels = [(what, [[(row.size, row.own[key]) for row in rows], [(row.size, row.ours[key]) for row in rows]])
              for what, key in (("CPU s", "cpu_s"), ("wall s", "wall_s"), ("peak MB", "peak_mb"))]
    return chart.curves(f"Cost by {curve.name}", curve.name, ("Spark's own", other), panels)
