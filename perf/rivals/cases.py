"""What perf/compare measures: the systems, and the cases each is put through."""

from typing import NamedTuple

SYSTEMS = [
    "floor", "ripstop-channel", "ripstop-topic", "hand-ring", "atomic-queue", "rte-ring",
    "iceoryx2", "iceoryx", "boost-mq", "pipe", "uds", "posix-mq", "zeromq", "nng", "redis", "nats",
]
SCENARIOS = ["roundtrip", "stream", "fanout", "fanin", "cost"]
SIZES = [64, 1024, 16384, 65536, 1 << 20, 4 << 20]

BARE_RINGS = ["hand-ring", "atomic-queue", "rte-ring"]
BARE_MPMC_RINGS = ["atomic-queue", "rte-ring"]
# Threads or a server of their own do the work: these never spin.
SLEEP_ONLY = ["zeromq", "nng", "redis", "nats"]


class Case(NamedTuple):
    scenario: str
    payload_bytes: int
    peers: int = 1
    mode: str = "spin"
    placement: str = "two-cores"
    touch: str = "all"

    def arguments(self):
        return ["--scenario", self.scenario, "--size", str(self.payload_bytes), "--peers", str(self.peers),
                "--mode", self.mode, "--placement", self.placement, "--touch", self.touch]


def full(sizes):
    """Every case of the whole comparison."""
    cases = []
    for size in sizes:
        cases.append(Case("roundtrip", size))
        cases.append(Case("roundtrip", size, mode="sleep"))
        cases.append(Case("roundtrip", size, mode="sleep", placement="one-core"))
    cases += [Case("roundtrip", size, touch="none") for size in (64, 1 << 20) if size in sizes]
    small = min(sizes)
    for mode in ("spin", "sleep"):
        cases += [Case("stream", size, mode=mode) for size in sizes if size <= 65536 or size == small]
        cases += [Case("fanout", small, peers, mode) for peers in (1, 4, 16)]
        cases += [Case("fanin", small, peers, mode) for peers in (2, 4, 8)]
    cases.append(Case("cost", small, mode="sleep"))
    cases.append(Case("cost", small, mode="sleep", placement="one-core"))
    return cases


def quick(sizes):
    """What the ratios need. Where a system spins, it is not streamed sleeping as well."""
    kept = []
    small = min(sizes)
    for case in full([size for size in sizes if size != 1024 or size == small]):
        if case.scenario == "stream" and case.payload_bytes != small:
            continue
        if case.scenario == "fanout" and case.peers != 16 or case.scenario == "fanin" and case.peers == 4:
            continue
        if case.touch == "none" and case.payload_bytes == small:
            continue
        kept.append(case)
    return kept


def wanted(system, case, is_quick):
    """Whether `case` is tried at all with `system`; the program itself may still say why it cannot."""
    if not is_quick or case.mode == "spin" or case.scenario == "cost":
        return True
    if system in SLEEP_ONLY:
        return case.placement == "two-cores" or case.payload_bytes == 64
    return case.scenario == "roundtrip" and case.payload_bytes == 64
