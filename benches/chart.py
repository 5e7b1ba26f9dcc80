"""A bar chart of ratios as an SVG, made by hand: it needs no library, and differs only where the figures do."""

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 760, 170, 70, 64, 52, 17
COLOURS = {"CPU": "#3b6ea5", "wall": "#d08c3c"}


def ratios(title, rows):
    """`rows` are (name, CPU ratio, wall ratio); 1 is the other side, and less is better."""
    longest = max([1.2, *[value for _, cpu, wall in rows for value in (cpu, wall)]])
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + ROW * len(rows) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for index, (kind, colour) in enumerate(COLOURS.items()):
        x = LEFT + index * 150
        out.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{x + 18}" y="49">ratio of {kind} time</text>')
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
