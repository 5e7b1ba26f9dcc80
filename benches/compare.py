#!/usr/bin/env python3
"""Compares two files of results, so that a release is not slower than the last: exit status 1 if a job got worse.

  python3 benches/compare.py OLD.jsonl NEW.jsonl

What counts is the ratio to the other side, which was measured in turn on the same machine: CPU and wall seconds of the
second side over those of the first, medians. The runs of a turn are a pair; from how far the pairs' ratios lie apart
follows how far their median may be from the true one: its standard error, 1.2533 * 1.4826 * the median deviation / the
root of the number of pairs. A job got worse if its ratio grew by more than two such errors, of both files together, and
by more than 5 %, since few runs may lie close together by chance.
"""

import argparse
import math
import pathlib
import statistics
import sys

import records

LEAST = 0.05
ERRORS = 2


class Figure:
    """The ratio of a job and what it may be off by, both for one key of the runs."""

    def __init__(self, own, other, key):
        self.value = (statistics.median(run[key] for run in other) / statistics.median(run[key] for run in own))
        pairs = [second[key] / first[key] for first, second in zip(own, other)]
        middle = statistics.median(pairs)
        deviation = statistics.median(abs(pair - middle) for pair in pairs)
        self.error = 1.2533 * 1.4826 * deviation / math.sqrt(len(pairs))


def verdict(old, new):
    """What became of a figure, and how much of it may be noise, as a share of the old one."""
    noise = max(LEAST, ERRORS * math.hypot(old.error, new.error) / old.value)
    change = new.value / old.value - 1
    if change > noise:
        return "worse", noise
    return ("better" if change < -noise else "same"), noise


def comparable(old, new):
    """Whether two jobs of the same name are the same job: as many rows, both sides there."""
    return (len(old) == len(new) == 2
            and old[0][0].get("rows_asked") == new[0][0].get("rows_asked")
            and old[0][0].get("scale", 1) == new[0][0].get("scale", 1))


def compare(old, new):
    """The rows of the table, the names of the jobs that got worse, and of those that can't be compared."""
    out, worse, left = [], [], sorted(set(old) ^ set(new))
    for name in (name for name in old if name in new):
        if not comparable(old[name], new[name]):
            left.append(name)
            continue
        for what, key in [("CPU", "cpu_s"), ("wall", "wall_s")]:
            before, after = (Figure(*sides, key) for sides in (old[name], new[name]))
            text, noise = verdict(before, after)
            if text == "worse":
                worse.append(f"{name} ({what})")
            out.append(f"| {name} | {what} | {before.value:.2f} | {after.value:.2f} | "
                       f"{100 * (after.value / before.value - 1):+.0f} % | ±{100 * noise:.0f} % | "
                       f"{'**worse**' if text == 'worse' else text} |")
    return out, worse, left


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    given = parser.parse_args()
    old, new = (records.by_case(records.read(file)) for file in (given.old, given.new))
    table, worse, left = compare(old, new)
    print("| job | time | ratio old | ratio new | change | noise | |\n|---|---|---|---|---|---|---|")
    print("\n".join(table))
    if left:
        print(f"\nnot in both files with the same size: {', '.join(left)}")
    print(f"\ncompare: {len(table) - len(worse)} figures held, {len(worse)} got worse"
          + (f": {', '.join(worse)}" if worse else ""))
    return 1 if worse or not table else 0


if __name__ == "__main__":
    sys.exit(main())
