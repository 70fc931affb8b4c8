"""The plot of perf/compare --svg: one-way latency by size, and throughput."""

import math
from xml.sax.saxutils import escape

from cases import SYSTEMS
from report import Rows, ns_text, rate_text, size_text

COLOURS = ["#222222", "#d62728", "#ff7f0e", "#2ca02c", "#17becf", "#1f77b4", "#9467bd", "#8c564b", "#e377c2",
           "#7f7f7f", "#bcbd22", "#aec7e8", "#98df8a", "#c5b0d5", "#ffbb78", "#c49c94"]
WIDTH, PLOT_HEIGHT, LEFT, RIGHT, TOP = 980, 420, 80, 190, 50
BAR_HEIGHT = 16


def colour(system):
    return COLOURS[SYSTEMS.index(system) % len(COLOURS)]


def text(x, y, words, anchor="start", size=12, fill="#222"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{escape(words)}</text>'


def line(x1, y1, x2, y2, stroke="#ddd", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width}"/>'


def curves(look, top, mode, title):
    """Log-log: payload size to the right, p50 one way upwards."""
    sizes = look.sizes()
    series = []
    for system in look.systems():
        points = [(size, look.value("p50_ns", system, "roundtrip", size, mode=mode)) for size in sizes]
        points = [(size, ns) for size, ns in points if ns]
        if points:
            series.append((system, points))
    if not series:
        return [], 0
    every = [ns for _, points in series for _, ns in points]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    high = max(high, low + 1)
    first, last = math.log2(min(sizes)), math.log2(max(max(sizes), 2 * min(sizes)))

    def x_of(size):
        return LEFT + (math.log2(size) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y_of(ns):
        return top + TOP + PLOT_HEIGHT - (math.log10(ns) - low) / (high - low) * PLOT_HEIGHT

    out = [text(LEFT, top + 24, title, size=15)]
    for power in range(low, high + 1):
        out.append(line(LEFT, y_of(10 ** power), WIDTH - RIGHT, y_of(10 ** power)))
        out.append(text(LEFT - 8, y_of(10 ** power) + 4, ns_text(10 ** power), "end"))
    for size in sizes:
        out.append(line(x_of(size), top + TOP, x_of(size), top + TOP + PLOT_HEIGHT))
        out.append(text(x_of(size), top + TOP + PLOT_HEIGHT + 18, size_text(size), "middle"))
    # Labels stand at the last point, moved apart where they would cover each other.
    label_y = -1.0
    for system, points in sorted(series, key=lambda entry: y_of(entry[1][-1][1])):
        path = " ".join(f"{x_of(size):.1f},{y_of(ns):.1f}" for size, ns in points)
        width = 3 if system.startswith("ripstop") else 1.6
        dash = ' stroke-dasharray="5 4"' if system == "floor" else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour(system)}" stroke-width="{width}"{dash}/>')
        for size, ns in points:
            out.append(f'<circle cx="{x_of(size):.1f}" cy="{y_of(ns):.1f}" r="2.6" fill="{colour(system)}"/>')
        end_x, end_y = x_of(points[-1][0]), y_of(points[-1][1])
        label_y = max(label_y + 14, end_y + 4)
        if points[-1][0] == max(sizes):
            out.append(line(end_x + 4, end_y, WIDTH - RIGHT + 22, label_y - 4, colour(system), 0.6))
        out.append(text(WIDTH - RIGHT + 26, label_y, f"{system} {ns_text(points[-1][1])}", fill=colour(system)))
    return out, TOP + PLOT_HEIGHT + 60


def bars(look, top, scenario, peers, title):
    size = min(look.sizes())
    rates = [(system, look.best_rate(system, scenario, size, peers)) for system in look.systems()]
    rates = sorted([(system, rate) for system, rate in rates if rate], key=lambda entry: -entry[1])
    if not rates:
        return [], 0
    out = [text(LEFT, top + 24, title, size=15)]
    full_width = WIDTH - LEFT - RIGHT - 60
    for index, (system, rate) in enumerate(rates):
        y = top + 40 + index * (BAR_HEIGHT + 6)
        width = rate / rates[0][1] * full_width
        out.append(text(LEFT + 52, y + 12, system, "end"))
        out.append(f'<rect x="{LEFT + 60}" y="{y}" width="{max(width, 1):.1f}" height="{BAR_HEIGHT}" '
                   f'fill="{colour(system)}"/>')
        out.append(text(LEFT + 66 + width, y + 12, rate_text(rate) + "/s"))
    return out, 60 + len(rates) * (BAR_HEIGHT + 6)


def svg(rows, host):
    look = Rows(rows)
    size = size_text(min(look.sizes()))
    body = [text(LEFT, 28, f"perf/compare, {host['date']}, {host['cpu']}, kernel {host['kernel']}, "
                           f"git {host['git'] or 'none'}", size=12, fill="#666")]
    top = 40
    for part in (
        lambda at: curves(look, at, "spin", "One way, spinning, a core each: p50 by payload size"),
        lambda at: curves(look, at, "sleep", "One way, sleeping, a core each: p50 by payload size"),
        lambda at: bars(look, at, "stream", 1, f"Streaming, one to one, {size}"),
        lambda at: bars(look, at, "fanout", 16, f"Fan-out, 1 to 16, {size}: deliveries"),
        lambda at: bars(look, at, "fanin", 8, f"Fan-in, 8 to 1, {size}"),
    ):
        drawn, height = part(top)
        body += drawn
        top += height
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 20}" '
            f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(body) + "\n</svg>\n")
