"""Charts as SVG, made by hand: they need no library, and differ only where the figures do."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 760, 170, 70, 64, 52, 17
COLOURS = {"CPU": "#3b6ea5", "wall": "#d08c3c"}
# The size of a plot of curves, and how far the plots are apart, which leaves room for the figures on the left.
PLOT, APART = (182, 220), 250
SIDES = ("#d08c3c", "#3b6ea5")


def ratios(title, rows):
    """`rows` are (name, CPU ratio, wall ratio); 1 is the other side, and less is better."""
    longest = max([1.2, *[value for _, cpu, wall in rows for value in (cpu, wall)]])
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + ROW * len(rows) + 34
    out = opening(title, height, LEFT, {f"ratio of {kind} time": colour for kind, colour in COLOURS.items()})
    for index, (name, *values) in enumerate(rows):
        y = TOP + ROW * index
        out.append(f'<text x="{LEFT - 10}" y="{y + ROW / 2 + 4:.0f}" text-anchor="end">{escape(name)}</text>')
        for bar, (value, colour) in enumerate(zip(values, COLOURS.values())):
            top = y + 8 + bar * (BAR + 2)
            out.append(f'<rect x="{LEFT}" y="{top}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"/>')
            out.append(f'<text x="{LEFT + value * scale + 6:.1f}" y="{top + 13}">{value:.2f}</text>')
    one = LEFT + scale
    bottom = height - 30
    out.append(f'<path d="M{one:.1f} {TOP} V{bottom}" stroke="#444444" stroke-dasharray="4 3"/>')
    out.append(f'<text x="{one:.1f}" y="{bottom + 18}" text-anchor="middle">1 = Spark\'s own; less is better</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def curves(title, axis, sides, panels):
    """Lines on logarithmic axes, a plot for each of `panels`: (what, lines), a line of (size, value) for each of the
    two `sides`. A dotted line is in proportion to the size, through the last point of the first side."""
    height = TOP + PLOT[1] + 76
    out = opening(title, height, 62, dict(zip(sides, SIDES)) | {f"in proportion to {axis}": "#999999"})
    for index, (what, lines) in enumerate(panels):
        out += plot(62 + index * APART, TOP + 26, what, axis, lines)
    return "\n".join([*out, "</svg>"]) + "\n"


def plot(left, top, what, axis, lines):
    """One plot, whose upper left corner is at `left`, `top`."""
    width, height = PLOT
    sizes = sorted({size for line in lines for size, _ in line})
    values = [value for line in lines for _, value in line]
    marks = ticks(min(values), max(values))
    across = logarithmic(sizes[0] / 1.3, sizes[-1] * 1.3, left, left + width)
    up = logarithmic(marks[0], marks[-1], top + height, top)
    out = [f'<text x="{left}" y="{top - 10}" font-weight="bold">{escape(what)}</text>']
    for mark in marks:
        out.append(f'<path d="M{left} {up(mark):.1f} h{width}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{left - 6}" y="{up(mark) + 4:.1f}" text-anchor="end" font-size="11">{short(mark)}</text>')
    for size in sizes:
        out.append(f'<text x="{across(size):.1f}" y="{top + height + 16}" text-anchor="middle" font-size="11">'
                   f'{short(size)}</text>')
    out.append(f'<text x="{left + width / 2:.0f}" y="{top + height + 34}" text-anchor="middle">{escape(axis)}</text>')
    end, value = lines[0][-1]
    begin = max(sizes[0], end * marks[0] / value)
    out.append(f'<path d="M{across(begin):.1f} {up(value * begin / end):.1f} L{across(end):.1f} {up(value):.1f}" '
               'stroke="#999999" stroke-dasharray="2 3"/>')
    for line, colour in zip(lines, SIDES):
        at = [f"{across(size):.1f} {up(value):.1f}" for size, value in line]
        out.append(f'<path d="M{" L".join(at)}" stroke="{colour}" stroke-width="2" fill="none"/>')
        for x, y in map(str.split, at):
            out.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
    return out


def opening(title, height, left, legend):
    """The beginning of a picture: its title, and below it what each colour means, from `left` on."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for index, (name, colour) in enumerate(legend.items()):
        x = left + index * 150
        out.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{x + 18}" y="49">{escape(name)}</text>')
    return out


def logarithmic(low, high, begin, end):
    """Where a value between `low` and `high` is drawn between `begin` and `end`."""
    return lambda value: begin + (end - begin) * math.log(value / low) / math.log(high / low)


def ticks(low, high):
    """What an axis is marked with from below `low` to above `high`: as many round numbers as there is room for."""
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        marks = [step * 10**power for power in range(-3, 10) for step in steps]
        first, last = max(mark for mark in marks if mark <= low), min(mark for mark in marks if mark > high)
        chosen = [mark for mark in marks if first <= mark <= last]
        if len(chosen) <= 8:
            break
    return chosen


def short(number):
    """A number of few digits: 100, 10k, 3M."""
    for unit, suffix in ((1_000_000, "M"), (1000, "k")):
        if number >= unit:
            return f"{number / unit:g}{suffix}"
    return f"{number:g}"
