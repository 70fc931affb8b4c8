#!/usr/bin/env python3
"""Writes tests/PROOF.md from the lines of figures that the suites ended with, and prints the claim.

write_report.py LOG_FOLDER PROOF.md --short|--long PROGRAM [SUITE...]     a row that was not run stays."""

import os
import re
import subprocess
import sys

# What a suite proves, and what its points are, in the order of the shared design's proof.md: how tools/proof runs
# them and how their rows stand. README.md says more of each.
SUITES = {
    "K1": ("kill points", "an operation is stopped at each of its instructions; recovery runs on a copy of the memory"),
    "K2": ("kill points", "the same with SIGKILL; the memory must equal the copy"),
    "K3": ("kill points", "an agent is stopped at each instruction, the others go on; then it is killed, resumed, or resumed late"),
    "K4": ("kill points", "the supervisor is killed at each instruction of a recovery, alone and after two deaths; another one takes over"),
    "K5": ("kill points", "killed and stopped at each instruction of the wake path, with those to be woken asleep in the kernel"),
    "E1": ("schedules", "all interleavings of small scenarios, a kill being one of the scheduler's choices"),
    "E2": ("model states", "the protocol itself, as models in Promela: every state of each; wrong variants are rejected"),
    "M1": ("mutants", "the suites have teeth: seeded protocol bugs, each found or argued equivalent"),
    "T1": ("operations", "threads play processes on one mapping: the stress tests under ThreadSanitizer"),
    "H1": ("faults", "corrupted memory and a live scribbler: the privileged side neither crashes nor hangs nor is misled"),
    "H2": ("faults", "attacks on the mappings: truncation, holes, stolen pages, wrong descriptors, SIGBUS"),
    "Z1": ("inputs", "every parser is fuzzed"),
    "F1": ("faults", "every system call and allocation fails, or is the last"),
    "F2": ("faults", "power loss for journal and spill: every prefix, torn, reordered, flipped bits"),
    "P1": ("faults", "huge pages, pool, rings, descriptors and disk run out: a typed error, then full capacity again"),
    "D1": ("faults", "death and identity: zombies, stops, reused pids, fork, exec, ends of threads, an absent supervisor"),
    "R1": ("kills of others", "the sweep of K2 over queues of others: see the table below; counted here is the harness's own trouble"),
    "C1": ("kill points", "twelve real processes and the supervisor killed, stopped and restarted at random; a ledger outside"),
}
# The operations that proof.md wants swept, and what a scenario of K1 is called that does them.
OPERATIONS = [
    ("loan", r"^loan"),
    ("send", r"^(send|direct send|channel send)"),
    ("fan-out", r"^(direct )?send.* to ([2-9]|\d\d)|each of two|every policy"),
    ("send through a direct lane", r"^direct|^loan, pool empty but for the direct"),
    ("send that drops the oldest", r"^send with drop-oldest|^send with every"),
    ("abort", r"^abort"),
    ("take", r"^(channel )?take"),
    ("ack: release", r"release"),
    ("nack", "issue 4"),
    ("hold", r"past a kept|held table|in hand|kept"),
    ("subscribe", r"^subscribe"),
    ("unsubscribe", r"^unsubscribe|^end of a subscription"),
    ("attach", r"^attach"),
    ("detach", r"^detach"),
    ("register", r"^register"),
    ("open and close a channel", r"^(open|close) a channel"),
    ("dead-letter", r"letters|successor"),
    ("spill", "issue 5"),
]
CLAIMED = ["kill points", "schedules", "model states", "faults"]  # The other points are not counted in the claim.
COLUMNS = ["points", "lost", "doubled", "leaked", "blocked", "wrong", "seconds"]
HEAD = """# What is shown to hold

`tools/proof` builds and runs every suite and writes this file. A row is one suite's last run.

- points: what they are stands behind their number. A kill point (K3: a stop point) is one instruction of an operation
  that was begun in a given state; the others are explained in [proof/README.md](proof/README.md).
- lost, doubled, leaked, blocked: see the oracle, `tests/proof/judge.cc`. wrong: anything else, crashes included.
- A point at which the memory is as it was one instruction before is judged with that one. K3 judges those together
  between which the stopped process has not even read the memory.

| suite | what | points | lost | doubled | leaked | blocked | wrong | seconds | of which | command |
|---|---|---|---|---|---|---|---|---|---|---|
"""
OURS = re.compile(r"^(ripstop::)(detail|memory|ring|control|base|layout)?")
NOT_OURS = re.compile(r"ripstop::(proof|supervisor)|std::|typeinfo|\.part|\[clone")


def words_of(row):
    """A row of another build than the release is called like K1-clang."""
    suite, _, variant = row.partition("-")
    return SUITES[suite][1] + (f" ({variant} build)" if variant else "")


def kind_of(row):
    return SUITES[row.partition("-")[0]][0]


def place_of(row):
    suite, _, variant = row.partition("-")
    return list(SUITES).index(suite), variant


def row_of(log, row, mode):
    name, _, variant = row.partition("-")
    with open(log, encoding="utf-8") as lines:
        line = lines.read().strip().split("\n")[-1]
    if line.startswith(name + " SKIP "):
        return f"| {row} | {words_of(row)} | not run: {line[len(name) + 6:]} |" + " |" * 8
    if not line.startswith(name + " points="):
        return f"| {row} | {words_of(row)} | FAILED, no figures |" + " |" * 8
    what = line.split(" what=", 1)[1] if " what=" in line else ""
    figures = dict(word.split("=", 1) for word in line.split(" what=", 1)[0].split()[1:])
    cells = [f"{int(figures[c]):,}" if c != "seconds" else figures[c] for c in COLUMNS]
    cells[0] += " " + kind_of(row)
    command = f"tools/proof {mode} " + (f"--variant {variant} " if variant else "") + name
    return f"| {row} | {words_of(row)} | " + " | ".join(cells) + f" | {what} | `{command}` |"


def claim_of(rows):
    """The last line over all rows, and how many faults they show."""
    points = dict.fromkeys(CLAIMED, 0)
    fault_count = 0
    for name, row in rows.items():
        fault_count += "| FAILED" in row
        cells = [cell.strip().replace(",", "") for cell in row.split("|")[3:9]]
        number = cells[0].split(" ")[0]
        if not number.isdigit():
            continue
        if kind_of(name) in points:
            points[kind_of(name)] += int(number)
        fault_count += sum(int(cell) for cell in cells[1:])
    verdict = "0 lost, 0 doubled, 0 leaked, 0 blocked" if fault_count == 0 else f"FAULTS: {fault_count}"
    counted = ", ".join(f"{points[kind]:,} {kind}" for kind in CLAIMED if points[kind] > 0)
    return f"{counted}: {verdict}.", fault_count


def functions(program, visited_file):
    """(name, instructions stopped at, instructions there are) of each function of ours that was stopped in."""
    with open(visited_file, encoding="utf-8") as lines:
        visited = {int(line, 16) for line in lines if line.strip()}
    text = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", program], capture_output=True, text=True, check=True).stdout
    found = []
    name, stopped, total = None, 0, 0
    for line in text.split("\n") + ["0 <end>:"]:
        if line.endswith(">:"):
            if name is not None and stopped > 0:
                found.append((name, stopped, total))
            name, stopped, total = line.split("<", 1)[1][:-2], 0, 0
            if not OURS.match(name) or NOT_OURS.search(name.split("(", 1)[0]):
                name = None
        elif name is not None and ":\t" in line:
            words = line.split(":\t", 1)[1].split()
            if not words or words[0] in ("nop", "nopw", "nopl", "xchg", "int3", "data16", "cs"):
                continue  # Padding between functions and before loops.
            total += 1
            stopped += int(line.split(":", 1)[0], 16) in visited
    return sorted(set(found), key=lambda f: (-(f[1] / f[2]), f[0]))


def function_section(program, visited_file):
    found = functions(program, visited_file)
    whole = [f for f in found if f[1] == f[2]]
    text = "\n## Functions whose every instruction was a kill point in K1\n\n"
    text += "As the compiler made them: what it inlined is in its callers.\n\n"
    text += "".join(f"- `{name}` ({total})\n" for name, _, total in whole)
    text += "\n## Functions that were killed in, but not at every instruction\n\n"
    text += "What is missing is ways that no scenario takes: errors, races that were lost, damage.\n\n"
    text += "".join(f"- `{name}` ({stopped} of {total})\n" for name, stopped, total in found if stopped != total)
    return text


def coverage_section(log):
    """The states that each operation was begun in, as the lines SCENARIO of K1's log name them."""
    with open(log, encoding="utf-8") as lines:
        scenarios = [(name, int(points)) for points, name in re.findall(r"^SCENARIO (\d+) (.*)$", lines.read(), re.M)]
    text = "\n## Operations and the states that K1 began them in\n\n"
    text += "A scenario that does two of them stands in both rows.\n\n| operation | scenarios | points | states |\n|---|---|---|---|\n"
    for operation, pattern in OPERATIONS:
        mine = [(name, points) for name, points in scenarios if re.search(pattern, name)]
        if not mine:
            text += f"| {operation} | 0 | 0 | not there yet: {pattern} |\n"
            continue
        states = sorted({name.partition(", ")[2] or "any" for name, _ in mine})
        text += f"| {operation} | {len(mine)} | {sum(points for _, points in mine):,} | {'; '.join(states)} |\n"
    return text


RIVALS_HEAD = """
## The same sweep over others

A process is killed with SIGKILL at each instruction of one send or receive, with 0 to all places of its queue taken;
then another process uses the queue. stuck: that one's call never returns. lost: a message that had been sent is found nowhere
(also one that the dead process was just receiving: these queues do not deliver again). leaked: fewer messages fit than before.
`tools/proof R1` (`tests/proof/rivals/`); Ripstop's line is K2's.

| queue | operation | points | stuck | lost | doubled | leaked |
|---|---|---|---|---|---|---|
"""


def rivals_section(log, rows):
    """What R1 told of the others, beside our own."""
    text = RIVALS_HEAD
    if "K2" in rows:
        points, lost, doubled, leaked, blocked = [cell.strip() for cell in rows["K2"].split("|")[3:8]]
        text += f"| Ripstop | every operation of K2 | {points.split(' ')[0]} | {blocked} | {lost} | {doubled} | {leaked} |\n"
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            kind, _, rest = line.strip().partition(" ")
            cells = rest.split(" | ")
            if kind == "RIVAL" and len(cells) == 7:
                points = int(cells[2])
                counts = [f"{int(count):,} ({100 * int(count) / points:.0f} %)" if int(count) > 0 else "0" for count in cells[3:]]
                text += f"| {cells[0]} | {cells[1]} | {points:,} | " + " | ".join(counts) + " |\n"
            elif kind == "RIVAL-ABSENT":
                text += f"| {cells[0]} | not run: {cells[1]} | | | | | |\n"
    return text


def main(log_folder, report, mode, program, chosen):
    old_rows, rivals_text, k1_text = {}, "", ""
    if os.path.exists(report):
        with open(report, encoding="utf-8") as text:
            old = text.read()
        old_rows = {m.group(1): m.group(0) for m in re.finditer(r"^\| ([A-Z]\d+(?:-\w+)?) \|.*$", old, re.M)}
        for section in re.findall(r"\n## .*?(?=\n## |\Z)", old, re.S):
            if section.startswith("\n## The same sweep"):
                rivals_text = section
            else:
                k1_text += section
    rows = dict(old_rows)
    variant = program.split("/")[1]
    suffix = "" if variant == "release" else "-" + variant
    for file in sorted(os.listdir(log_folder)):
        name = file[:-4]
        if file.endswith(suffix + ".log") and name.count("-") == suffix.count("-") and (not chosen or name.removesuffix(suffix) in chosen):
            rows[name] = row_of(os.path.join(log_folder, file), name, mode)
    claim, fault_count = claim_of(rows)
    visited = os.path.join(log_folder, "K1.visited")
    if (not chosen or "K1" in chosen) and variant == "release" and os.path.exists(visited):
        k1_text = coverage_section(os.path.join(log_folder, "K1.log")) + function_section(program, visited)
    rivals = os.path.join(log_folder, "R1.log")
    if (not chosen or "R1" in chosen) and variant == "release" and os.path.exists(rivals):
        rivals_text = rivals_section(rivals, rows)
    with open(report, "w", encoding="utf-8") as out:
        out.write(HEAD + "\n".join(rows[name] for name in sorted(rows, key=place_of)) + f"\n\n**{claim}**\n" + rivals_text + k1_text)
    print(claim)
    return 0 if fault_count == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]))
