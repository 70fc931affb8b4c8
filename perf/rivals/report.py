"""The table and the ratios that perf/compare prints; 80 columns."""

import statistics

from cases import BARE_MPMC_RINGS, BARE_RINGS, SIZES, SYSTEMS

NAME_WIDTH = 17
WIDTH = 80
LINE_BYTES = 64  # Above, the payload takes longer than the line that says it is there.


def size_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def ns_text(ns):
    if ns is None:
        return "-"
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= unit:
            return f"{ns / unit:.3g} {name}"
    return f"{ns:.0f} ns"


def rate_text(rate):
    if rate is None:
        return "-"
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if rate >= unit:
            return f"{rate / unit:.3g} {name}"
    return f"{rate:.0f}"


class Rows:
    """Looks figures up."""

    def __init__(self, rows):
        self.rows = rows

    def row(self, system, scenario, size=64, peers=1, mode="spin", placement="two-cores", touch="all"):
        """The row, or None when it has no figures."""
        for row in self.rows:
            if (row["system"], row["scenario"], row["payload_bytes"], row["peers"], row["mode"], row["placement"],
                    row["touch"]) == (system, scenario, size, peers, mode, placement, touch):
                return row if row["repeats"] else None
        return None

    def value(self, key, system, scenario, size=64, peers=1, **case):
        row = self.row(system, scenario, size, peers, **case)
        return row[key] if row else None

    def best_row(self, system, scenario, size=64, peers=1):
        """The faster of spinning and sleeping."""
        rows = [self.row(system, scenario, size, peers, mode=mode) for mode in ("spin", "sleep")]
        return max((row for row in rows if row), key=lambda row: row["msgs_per_s"], default=None)

    def best_rate(self, system, scenario, size=64, peers=1):
        row = self.best_row(system, scenario, size, peers)
        return row["msgs_per_s"] if row else None

    def systems(self):
        present = {row["system"] for row in self.rows}
        return [system for system in SYSTEMS if system in present]

    def sizes(self):
        present = {row["payload_bytes"] for row in self.rows}
        return [size for size in SIZES if size in present] + sorted(present - set(SIZES))


def print_block(title, columns, lines):
    """lines: (name, cells); lines without any figure are left out."""
    lines = [(name, cells) for name, cells in lines if any(cell != "-" for cell in cells)]
    if not lines:
        return
    width = min(10, (WIDTH - NAME_WIDTH) // len(columns))
    print(f"\n{title}")
    print(" " * NAME_WIDTH + "".join(f"{column:>{width}}" for column in columns))
    for name, cells in lines:
        print(f"{name:<{NAME_WIDTH}}" + "".join(f"{cell:>{width}}" for cell in cells))


def print_table(rows):
    look = Rows(rows)
    systems, sizes = look.systems(), look.sizes()

    def times(key, **case):
        return [(system, [ns_text(look.value(key, system, "roundtrip", size, **case)) for size in sizes])
                for system in systems]

    names = [size_text(size) for size in sizes]
    print_block("One way, spinning, a core each: p50", names, times("p50_ns"))
    print_block("One way, spinning, a core each: p99", names, times("p99_ns"))
    print_block("One way, spinning, payload not touched: p50", names, times("p50_ns", touch="none"))
    print_block("One way, sleeping, a core each: p50", names, times("p50_ns", mode="sleep"))
    print_block("One way, sleeping, both on one core: p50", names,
                times("p50_ns", mode="sleep", placement="one-core"))

    ways = [("stream", 1), ("fanout", 1), ("fanout", 4), ("fanout", 16), ("fanin", 2), ("fanin", 4), ("fanin", 8)]
    ways = [way for way in ways if any(look.best_rate(system, way[0], min(sizes), way[1]) for system in systems)]
    titles = [{"stream": "stream", "fanout": f"1 to {peers}", "fanin": f"{peers} to 1"}[way] for way, peers in ways]
    if ways:
        print_block(f"Deliveries per second, {size_text(min(sizes))}, spinning or sleeping, the better one", titles,
                    [(system, [rate_text(look.best_rate(system, way, min(sizes), peers)) for way, peers in ways])
                     for system in systems])
    streamed = [size for size in sizes if any(look.best_rate(system, "stream", size) for system in systems)]
    if len(streamed) > 1:
        print_block("Messages per second, one to one", [size_text(size) for size in streamed],
                    [(system, [rate_text(look.best_rate(system, "stream", size)) for size in streamed])
                     for system in systems])
    print_block("CPU per message at 10,000 a second, both sides, sleeping", ["a core each", "one core"],
                [(system, [ns_text(look.value("cpu_ns_per_msg", system, "cost", min(sizes), mode="sleep",
                                              placement=placement)) for placement in ("two-cores", "one-core")])
                 for system in systems])


def paired_ratio(key, above, below):
    """Median over the rounds of above / below, each pair measured in the same round; None without pairs."""
    if not above or not below:
        return None
    pairs = zip(above["runs"][key], below["runs"][key])
    return statistics.median([a / b for a, b in pairs if a and b] or [0]) or None


def line_ratio(row):
    """Median over the rounds of p50 over the bare line that the same run measured; None where it did not."""
    if not row or row["payload_bytes"] > LINE_BYTES:
        return None
    pairs = zip(row["runs"]["p50_ns"], row["runs"]["line_ns"])
    return statistics.median([a / b for a, b in pairs if a and b] or [0]) or None


def ratios(rows):
    """The issue's table: (what, value or None, floor, aim, how it is written)."""
    look = Rows(rows)
    topic, channel = "ripstop-topic", "ripstop-channel"

    def latency(above, below):
        return paired_ratio("p50_ns", above, below)

    def rate(above, below):
        return paired_ratio("msgs_per_s", above, below)

    def one_way(system, size=64, **case):
        return look.row(system, "roundtrip", size, **case)

    stream = look.best_row(topic, "stream")
    bare_streams = [look.best_row(ring, "stream") for ring in BARE_MPMC_RINGS]
    bare_stream = max((row for row in bare_streams if row), key=lambda row: row["msgs_per_s"], default=None)
    found = [
        ("channel, 64 B, spinning / line", line_ratio(one_way(channel)), "<= 1.6", "<= 1.2"),
        ("topic, 64 B, spinning / line", line_ratio(one_way(topic)), "<= 2.2", "< 1.9"),
        ("topic, 64 B, stream / best bare MPMC ring", rate(stream, bare_stream), ">= 0.6", "> 1.0"),
        ("topic, 64 B, stream / iceoryx", rate(stream, look.best_row("iceoryx", "stream")), ">= 10", ""),
        ("topic, 64 B, stream / zeromq", rate(stream, look.best_row("zeromq", "stream")), ">= 2.5", ""),
    ]
    for size in (16384, 65536):
        bare_rows = [one_way(ring, size) for ring in BARE_RINGS]
        bare = min((row for row in bare_rows if row), key=lambda row: row["p50_ns"], default=None)
        found.append((f"topic, {size_text(size)} / best bare ring", latency(one_way(topic, size), bare), "<= 1.1", ""))
    for size in (1 << 20, 4 << 20):
        found.append((f"topic, {size_text(size)} / iceoryx", latency(one_way(topic, size), one_way("iceoryx", size)),
                      "<= 1.1", "< 1.0"))
    fan_out = look.best_rate(topic, "fanout", 64, 16)
    found += [
        ("topic, 1 MiB not touched / its own 64 B", latency(one_way(topic, 1 << 20, touch="none"), one_way(topic)),
         "<= 1.3", ""),
        ("topic, fan-out 1 to 16, M deliveries/s", fan_out / 1e6 if fan_out else None, ">= 8", "> 33"),
        ("topic, fan-in 8 to 1 / 2 to 1",
         rate(look.best_row(topic, "fanin", 64, 8), look.best_row(topic, "fanin", 64, 2)), ">= 0.8", ""),
    ]
    for placement, name in (("one-core", "one core"), ("two-cores", "a core each")):
        case = {"mode": "sleep", "placement": placement}
        found.append((f"topic, sleeping, {name} / futex", latency(one_way(topic, **case), one_way("floor", **case)),
                      "<= 1.3", ""))
    for placement, name in (("two-cores", "a core each"), ("one-core", "one core")):
        cost = [look.row(system, "cost", mode="sleep", placement=placement) for system in (topic, "hand-ring")]
        found.append((f"topic, CPU per message, {name} / hand ring", paired_ratio("cpu_ns_per_msg", *cost),
                      "<= 1.2", ""))
    return found


def print_ratios(rows):
    print("\nWhat it must reach" + " " * 32 + f"{'here':>9}{'floor':>10}{'aim':>9}")
    for what, value, floor, aim in ratios(rows):
        here = "n/a" if value is None else f"{value:.2f}"
        verdict = ""
        if value is not None:
            sign, bound = floor.split()
            verdict = "ok" if (value <= float(bound) if sign == "<=" else value >= float(bound)) else "no"
        print(f"{what:<50}{here:>9}{floor:>10}{aim:>9}{verdict:>3}".rstrip()[:WIDTH + 1])


def print_gaps(skipped, rows):
    """Systems that are not there, and the cases that failed or make no sense."""
    for system, reason in skipped.items():
        print(f"SKIP {system}: {reason}")
    reasons = {}
    for row in rows:
        for kind in ("error", "skip"):
            if row.get(kind):
                what = {"error": "FAILED", "skip": "SKIP"}[kind]
                reasons.setdefault((what, row["system"], row[kind]), []).append(row)
    for (what, system, reason), cases in reasons.items():
        scenarios = list(dict.fromkeys(row["scenario"] for row in cases))
        print(f"{what} {system}: {', '.join(scenarios)} ({len(cases)}): {reason}")
