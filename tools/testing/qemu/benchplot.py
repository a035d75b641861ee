# SPDX-License-Identifier: GPL-2.0
"""Draws the benchmark's result as SVG: cost over size, one line a scheme."""

from html import escape
from math import log10

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 50, 60
COLOURS = ("#777777", "#0060c0", "#00a0e0", "#c04000", "#308030", "#80b050",
           "#8030a0")


def _scale(low, high, first, last):
    """A logarithmic axis."""
    return lambda value: first + (last - first) * \
        (log10(value) - log10(low)) / (log10(high) - log10(low))


def _name(size):
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return str(size)


def plot(rows):
    """The picture of the first kernel's single mappings to the device."""
    rows = [row for row in rows if row.op == "single" and row.cost and
            row.direction == "to" and row.depth == 1]
    if not rows:
        return "<svg xmlns='http://www.w3.org/2000/svg'/>\n"
    kernel = rows[0].kernel
    rows = [row for row in rows if row.kernel == kernel]
    sizes = sorted({row.bytes for row in rows})
    top = 10 ** (int(log10(max(row.pair for row in rows))) + 1)
    x = _scale(sizes[0], max(sizes[-1], sizes[0] + 1), LEFT, WIDTH - RIGHT)
    y = _scale(100, top, HEIGHT - BOTTOM, TOP)

    svg = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' "
           f"height='{HEIGHT}' font-family='sans-serif' font-size='12'>",
           f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
           f"<text x='{LEFT}' y='24' font-size='15'>Instructions of a map and "
           f"an unmap, to the device, Linux {escape(kernel)}</text>"]
    value = 100
    while value <= top:
        svg.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y(value):.1f}' "
                   f"y2='{y(value):.1f}' stroke='#dddddd'/>"
                   f"<text x='{LEFT - 8}' y='{y(value) + 4:.1f}' "
                   f"text-anchor='end'>{value:,}</text>")
        value *= 10
    for size in sizes:
        svg.append(f"<text x='{x(size):.1f}' y='{HEIGHT - BOTTOM + 20}' "
                   f"text-anchor='middle'>{_name(size)}</text>")
    schemes = list(dict.fromkeys(row.scheme for row in rows))
    for number, scheme in enumerate(schemes):
        colour = COLOURS[number % len(COLOURS)]
        points = [(x(row.bytes), y(row.pair)) for row in rows
                  if row.scheme == scheme]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        svg.append(f"<polyline points='{path}' fill='none' stroke='{colour}' "
                   "stroke-width='2'/>")
        svg += [f"<circle cx='{a:.1f}' cy='{b:.1f}' r='3' fill='{colour}'/>"
                for a, b in points]
        at = TOP + 20 + 20 * number
        svg.append(f"<rect x='{WIDTH - RIGHT + 20}' y='{at - 9}' width='12' "
                   f"height='10' fill='{colour}'/><text "
                   f"x='{WIDTH - RIGHT + 38}' y='{at}'>{escape(scheme)}</text>")
    return "\n".join([*svg, "</svg>"]) + "\n"
