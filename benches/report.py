"""Tables and a chart, made from the results."""

import cases
import chart
import control
from records import SUMS, by_case, medians

# How much the CPU seconds of a whole job may grow with a second replica.
ASKED_OF_REPLICAS = 1.25


class Row:
    """A row of a table: the medians of both sides, and the ratios that are asked for."""

    def __init__(self, name, own, ours, asked):
        self.name, self.own, self.ours, self.asked = name, own, ours, asked

    def ratios(self):
        """CPU and wall."""
        return [self.ours[key] / self.own[key] for key in ("cpu_s", "wall_s")]

    def missed(self):
        """Whether the ratio of CPU, that of wall, and the spilled bytes are more than asked."""
        over = [limit is not None and value > limit for value, limit in zip(self.ratios(), self.asked)]
        spilled = (self.own["spilled_disk_bytes"] or 0, self.ours["spilled_disk_bytes"] or 0)
        return [*over, spilled[1] > 0 and spilled[1] >= spilled[0]]


def complete(runs):
    """The runs by case and side, without cases that were broken off before both sides had one."""
    return {name: sides for name, sides in by_case(runs).items() if len(sides) == 2}


def rows(runs, other):
    """The rows of the table; after TPC-H's queries their sum. Only of Overhand anything is asked."""
    out, asked = [], {case.name: (case.asked_cpu, case.asked_wall) for case in cases.CASES if other == "overhand"}
    for name, sides in complete(runs).items():
        out.append(Row(name, *map(medians, sides), asked.get(name, (None, None))))
    queries = [row for row in out if row.name in cases.QUERIES]
    if len(queries) == len(cases.QUERIES):
        total = Row(cases.TPCH, total_of(row.own for row in queries), total_of(row.ours for row in queries),
                    cases.TPCH_ASKED if asked else (None, None))
        out.insert(out.index(queries[-1]) + 1, total)
    return out


def total_of(sides):
    """The sums of several jobs' medians, and the largest of their peaks."""
    sides = list(sides)
    out = {key: sum(side[key] or 0 for side in sides) for key in SUMS}
    return out | {"peak_mb": max(side["peak_mb"] for side in sides)}


def table(rows, other):
    """The medians as a table in Markdown, bold where they miss what is asked."""
    out = [f"| job | Spark's own: CPU s / wall s | {other}: CPU s / wall s | ratio CPU | ratio wall | asked "
           f"| peak MB own / {other} | shuffled MB own / {other} | spilled MB own / {other} |",
           "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        cpu, wall, spilled = row.missed()
        ratio_cpu, ratio_wall = (f"{value:.2f}" for value in row.ratios())
        cells = [
            row.name,
            *(f"{side['cpu_s']:.1f} / {side['wall_s']:.1f}" for side in (row.own, row.ours)),
            bold(ratio_cpu, cpu),
            bold(ratio_wall, wall),
            " / ".join("–" if limit is None else f"≤ {limit:.2f}" for limit in row.asked),
            both(row, "peak_mb", 1),
            both(row, "shuffle_bytes", 1e6),
            bold(both(row, "spilled_disk_bytes", 1e6), spilled),
        ]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n" + verdict(rows)


def verdict(rows):
    """How many of the figures that are asked for were reached, and by which jobs not; empty where nothing is asked."""
    asked = sum(limit is not None for row in rows for limit in row.asked)
    if not asked:
        return ""
    missed = sum(sum(row.missed()[:2]) for row in rows)
    names = [row.name for row in rows if any(row.missed())]
    return (f"\n{asked - missed} of {asked} ratios are as asked. In bold is what misses: a ratio that is too high, "
            "bytes spilled where Spark's own shuffle spills as many or fewer.\n"
            + (f"Jobs that miss: {', '.join(names)}.\n" if names else ""))


def bold(text, whether):
    return f"**{text}**" if whether else text


def both(row, key, unit):
    """The figures of both sides, in `unit`."""
    return " / ".join("–" if side[key] is None else f"{side[key] / unit:.0f}" for side in (row.own, row.ours))


def messages_table(rows, other):
    """What the workers were sent for a job, as a table in Markdown; empty where no side has workers."""
    counted = [row for row in rows if "frames" in row.ours]
    if not counted:
        return ""
    out = [f"\nMessages to the workers, {other}, medians per job. A commit is the last frame of a map task on a shard, "
           "and carries data too where there is any left.\n",
           "| job | map tasks | commits | frames | fetches | new connections |", "|---|---|---|---|---|---|"]
    for row in counted:
        figures = [row.ours[key] for key in ("map_tasks", "commits", "frames", "fetches", "connections")]
        out.append(f"| {row.name} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |")
    return "\n".join(out) + "\n"


def replicas_table(runs):
    """What two replicas cost, as a table in Markdown."""
    out = ["| job | 1 replica: CPU s (Spark + servers) / wall s | 2 replicas: CPU s (Spark + servers) / wall s "
           f"| whole job CPU ratio 2/1 (asked ≤ {ASKED_OF_REPLICAS}) | servers' CPU ratio | ratio wall |",
           "|---|---|---|---|---|---|"]
    for name, sides in complete(runs).items():
        one, two = map(medians, sides)
        cells = [name]
        for side in (one, two):
            spark = side["cpu_s"] - side["cpu_server_s"]
            cells.append(f"{side['cpu_s']:.1f} ({spark:.1f} + {side['cpu_server_s']:.1f}) / {side['wall_s']:.1f}")
        cells.append(bold(ratio(two, one, "cpu_s"), two["cpu_s"] > ASKED_OF_REPLICAS * one["cpu_s"]))
        cells += [ratio(two, one, "cpu_server_s"), ratio(two, one, "wall_s")]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def ratio(over, under, key):
    """As text; what was too short to be measured has none."""
    return f"{over[key] / under[key]:.2f}" if under[key] else "–"


def heading(runs, processes):
    """What was measured where, of which processes, and by which calls."""
    counts = [len(sides[0]) for sides in by_case(runs).values()]
    least, most = min(counts), max(counts)
    spark = dict.fromkeys(f"Spark {run['spark']} (Scala {run['scala']})" for run in runs)
    machines = dict.fromkeys(f"{run['cpu']}, {run['cores']} cores, {run['memory_gb']} GB, Linux {run['kernel']}."
                             for run in runs)
    calls = dict.fromkeys(f"- commit {run['commit']}, {run['date']}: `{run['command']}`" for run in runs)
    count = f"{most} run" + "s" * (most > 1) if least == most else f"{least} to {most} runs"
    return "\n".join([f"# {', '.join(spark)}, medians of {count} in turn",
                      "", *machines,
                      f"CPU seconds are those of all processes: driver, {processes}.",
                      "", *calls, "", ""])


def paired(runs, name, other):
    """The pages of a comparison with Spark's own shuffle, by the ending of the file."""
    found = rows(runs, other)
    bars = [(row.name, *row.ratios()) for row in found if row.name not in cases.QUERIES]
    title = f"{other} against Spark's own shuffle, Spark {runs[0]['spark']}"
    picture = f"\n![ratios]({name}.svg)\n" if bars else ""
    return {"md": heading(runs, "two executors of one core, shuffle server") + table(found, other) + messages_table(found, other)
            + control.table((row.name, row.ours.get("control")) for row in found) + picture,
            "svg": chart.ratios(title, bars) if bars else ""}


def replicas(runs):
    """The pages of a comparison of two replicas with one, by the ending of the file."""
    return {"md": heading(runs, "two executors of one core, a coordinator and two workers") + replicas_table(runs)}
