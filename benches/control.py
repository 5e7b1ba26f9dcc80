"""Control calls: what a job asked of coordinators and of the driver, and what it sent to workers beyond its data."""

# What is asked of every job.
ASKED = {"coordinator_per_shuffle": 0, "driver_per_executor_and_shuffle": 1, "extra_per_map_task_and_shard": 1}


def since(before, now):
    """What processes have asked of others since `before`: both are the counters by process, then by name."""
    return {process: {name: count - before.get(process, {}).get(name, 0) for name, count in counters.items()}
            for process, counters in now.items()}


def figures(calls):
    """The control calls of a job, and the ratios that something is asked of; None without Overhand. Coordinators are
    called as time goes by, for the lease; what a shuffle costs them are the calls out of turn."""
    if "driver" not in calls:
        return None
    driver, executors = calls["driver"], [calls[process] for process in calls if process != "driver"]
    counts = dict(
        shuffles=driver["shuffles"],
        coordinator_refreshes=driver["refreshes"],
        coordinator_calls=sum(process.get("coordinator_calls", 0) for process in calls.values()),
        driver_calls_most=max(executor.get("driver_rpcs", 0) for executor in executors),
        shard_outputs=sum(executor.get("shard_outputs", 0) for executor in executors),
        extra_frames=sum(executor.get("extra_frames", 0) for executor in executors),
    )
    return counts | dict(
        coordinator_per_shuffle=ratio(counts["coordinator_refreshes"], counts["shuffles"]),
        driver_per_executor_and_shuffle=ratio(counts["driver_calls_most"], counts["shuffles"]),
        extra_per_map_task_and_shard=ratio(counts["extra_frames"], counts["shard_outputs"]),
    )


def ratio(over, under):
    """Nothing per nothing is nothing."""
    return round(over / max(1, under), 4)


def text(counts):
    """The figures of a run, for people; empty through Spark's own shuffle."""
    if not counts:
        return ""
    names = {"coordinator_per_shuffle": "coordinator calls a shuffle",
             "driver_per_executor_and_shuffle": "driver calls an executor and shuffle",
             "extra_per_map_task_and_shard": "messages beyond the data a map task and shard"}
    return "  control: " + ", ".join(f"{counts[key]:g} {name}" for key, name in names.items())


def most(runs):
    """The largest figures of some runs; None if they have none."""
    counted = [run["control"] for run in runs if run.get("control")]
    return {name: max(counts[name] for counts in counted) for name in counted[0]} if counted else None


def table(rows):
    """The largest figures of each job as a table in Markdown, bold where they miss what is asked; empty where no side
    has any. `rows` are (name, figures)."""
    rows = [(name, counts) for name, counts in rows if counts]
    if not rows:
        return ""
    out = ["\nControl calls, the most of any run. Coordinators are called as time goes by, for the lease; what a shuffle costs them "
           "are calls out of turn. Spark's own question for the map outputs, one for each executor and shuffle, is not counted.\n",
           "| job | shuffles | calls to coordinators, for the lease "
           "| coordinator calls per shuffle (asked 0) | driver calls per executor and shuffle (asked ≤ 1) "
           "| messages beyond the data per map task and shard (asked ≤ 1) |",
           "|---|---|---|---|---|---|"]
    for name, counts in rows:
        shown = {key: f"**{counts[key]:g}**" if counts[key] > limit else f"{counts[key]:g}"
                 for key, limit in ASKED.items()}
        cells = [name, f"{counts['shuffles']:,}", f"{counts['coordinator_calls']:,}",
                 shown["coordinator_per_shuffle"], shown["driver_per_executor_and_shuffle"],
                 shown["extra_per_map_task_and_shard"]]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"
