#!/usr/bin/env python3
"""Every memory order says what it is for (style.md, Atomics).   check_edges.py ROOT | --self-test

- acquire, release, acq_rel and seq_cst in lib/ bear a label A(name) or R(name) in a comment on the same
  line or in the lines above; acquire needs an A, release an R, the other two either.
- A name has both ends: somewhere in lib/, daemon/ or tools/ an order bears A(name) and another R(name).
  The list at a file's head does not count, only what stands at an order.
- A relaxed order says why: a comment on its statement or directly above; one comment serves the relaxed
  statements that follow it without a gap, and one with the word "relaxed" all of its paragraph.
- An operation without an order is seq_cst and needs a label too.
- A function that takes its edge from the caller (a wrapper) bears A(*) or R(*), and is named after its
  order (load_acquire, store_release); its calls bear the labels."""

import collections
import re
import sys

import source_tree

# Orders, however they are written. A wrapper is known by the end of its name.
_ORDER = re.compile(r"\bmemory_order(?:_|::)(acquire|release|acq_rel|seq_cst|consume|relaxed)\b"
                    r"|\b__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST|CONSUME|RELAXED)\b"
                    r"|\b(?!memory_order)\w+_(acquire|release|acq_rel|seq_cst|relaxed)\s*\(")
# Atomic operations whose order may have been left out; the last two are base::AtomicPair's, which have none.
_OPERATION = re.compile(r"(?:\.|->)(load|store|fetch_add|fetch_sub|fetch_or|fetch_and|fetch_xor"
                        r"|compare_exchange_weak|compare_exchange_strong|compare_exchange|store_exclusive)\s*\(")
_LABEL = re.compile(r"\b([AR])\(([\w*][\w\s,.*-]*)\)")

# How far above its order a label may stand.
LINES_ABOVE = 6

NEEDS = {"acquire": "A", "consume": "A", "release": "R", "acq_rel": "AR", "seq_cst": "AR"}


def arguments(code, start):
    """The text between the parenthesis that opens before `start` and its partner."""
    depth, at = 1, start
    while at < len(code) and depth:
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        at += 1
    return code[start:at - 1]


def orders(code):
    """(offset, order) of each atomic operation's order in `code`, ascending."""
    found = []
    for m in _ORDER.finditer(code):
        found.append((m.start(), next(g for g in m.groups() if g).lower()))
    for m in _OPERATION.finditer(code):
        inside = arguments(code, m.end())
        if re.search(r"memory_order|__ATOMIC_|\border\b", inside):
            continue
        # A load takes no other argument and a store one: anything else is not an atomic's.
        commas = inside.count(",")
        if (m.group(1) == "load") != (inside.strip() == "") or (m.group(1) == "store" and commas):
            continue
        found.append((m.start(), "release" if m.group(1) == "store_exclusive" else "seq_cst"))
    return sorted(set(found))


def says_why(code_lines, comment_lines, number):
    """Whether the relaxed order on line `number` (from 0) has its comment."""
    for i in range(number, -1, -1):
        if "relaxed" in comment_lines[i].lower():
            return True
        if not code_lines[i].strip() and not comment_lines[i].strip():
            break  # The paragraph's begin.
    at = number
    while True:
        first = at  # The statement's first line: go up while the line before does not end one.
        while first > 0 and code_lines[first - 1].strip() and not re.search(r"[;{}:]\s*$", code_lines[first - 1]) \
                and not code_lines[first - 1].lstrip().startswith("#"):
            first -= 1
        last = at
        while last + 1 < len(code_lines) and not re.search(r"[;{}]\s*$", code_lines[last]) and last - at < 8:
            last += 1
        if any(comment_lines[i].strip() for i in range(first, last + 1)):
            return True
        if first == 0:
            return False
        above = first - 1
        if not code_lines[above].strip():
            return bool(comment_lines[above].strip())  # A comment line, or a gap.
        if "relaxed" not in code_lines[above]:
            return False
        at = above  # The same run of relaxed statements: its comment serves this one as well.


def check_text(path, text, ends, need_labels=True):
    code, comments = source_tree.split_comments(text)
    code_lines, comment_lines = code.split("\n"), comments.split("\n")
    findings = []
    for offset, order in orders(code):
        number = code.count("\n", 0, offset)
        here = f"{path}:{number + 1}: "
        if order == "relaxed":
            if need_labels and not says_why(code_lines, comment_lines, number):
                findings.append(f"{here}a relaxed order without a comment that says why")
            continue
        labels = set()
        for i in range(max(0, number - LINES_ABOVE), number + 1):
            # A(x) "pairs with R(x)": the partner's mention after these words is not a label here.
            said = re.split(r"\bpairs? with\b", comment_lines[i])[0]
            for kind, names in _LABEL.findall(said):
                labels |= {(kind, n.strip()) for n in names.split(",") if n.strip()}
        fitting = {(kind, name) for kind, name in labels if kind in NEEDS[order]}
        if not fitting and need_labels:
            wanted = " or ".join(f"{kind}(name)" for kind in NEEDS[order])
            findings.append(f"{here}{order} without a label {wanted}")
        for kind, name in fitting:
            ends[name][kind].append(f"{path}:{number + 1}")
    return list(dict.fromkeys(findings))


def one_ended(ends):
    findings = []
    for name, places in sorted(ends.items()):
        if name == "*":
            continue
        for kind, other in (("A", "R"), ("R", "A")):
            if places[kind] and not places[other]:
                findings.append(f"{places[kind][0]}: edge {kind}({name}) has no {other}({name}) anywhere")
    return findings


def check(root):
    ends = collections.defaultdict(lambda: {"A": [], "R": []})
    findings = []
    for path in source_tree.cxx_files(root, {"lib", "daemon", "tools"}):
        findings += check_text(path, source_tree.read(root, path), ends, path.startswith("lib/"))
    return findings + one_ended(ends)


def self_test():
    def findings_of(text):
        ends = collections.defaultdict(lambda: {"A": [], "R": []})
        return check_text("x.h", text, ends) + one_ended(ends)

    pair = ("// A(full): pairs with R(full) in push.\nx.load(std::memory_order_acquire);\n"
            "// R(full): pairs with A(full) in pop.\nx.store(1, std::memory_order_release);\n")
    source_tree.finish_self_test([
        ("a pair", [], findings_of(pair)),
        ("no label", ["x.h:1: acquire"], findings_of("x.load(std::memory_order_acquire);\n")),
        ("one end", ["no R(full)"], findings_of("x.load(std::memory_order_acquire);  // A(full)\n")),
        ("the list at the head is not an end", ["no A(full)"],
         findings_of("// Edges. R(full) -> A(full)\n" + "\n" * 9
                     + "// R(full): pairs with A(full).\nx.store(1, std::memory_order_release);\n")),
        ("the wrong end", ["x.h:2: release without a label R"],
         findings_of("// A(full)\nx.store(1, std::memory_order_release);\n")),
        ("too far above", ["without a label"],
         findings_of("// A(f)" + "\n" * 9 + "x.load(std::memory_order_acquire);\n")),
        ("relaxed alone", ["x.h:1: a relaxed"], findings_of("x.load(std::memory_order_relaxed);\n")),
        ("relaxed with a reason beside", [],
         findings_of("x.load(std::memory_order_relaxed);  // Only this side writes it.\n")),
        ("relaxed with a reason above", [], findings_of("// A hint.\nconst auto v =\n    x.load(std::memory_order_relaxed);\n")),
        ("one reason for a run", [],
         findings_of("// Hints.\nx.load(std::memory_order_relaxed);\ny.load(std::memory_order_relaxed);\n")),
        ("a gap ends the run", ["x.h:4"],
         findings_of("// Hints.\nx.load(std::memory_order_relaxed);\n\ny.load(std::memory_order_relaxed);\n")),
        ("the word serves a paragraph", [],
         findings_of("// Relaxed: counters.\nauto f = [] {\n  x.load(std::memory_order_relaxed);\n};\n"
                     "g();\ny.load(std::memory_order_relaxed);\n")),
        ("default order", ["x.h:1: seq_cst", "x.h:2: seq_cst"], findings_of("x.load();\nx->fetch_add(1);\n")),
        ("a pair", ["x.h:1: seq_cst", "x.h:9: release"],
         findings_of("x.compare_exchange(a, b);" + "\n" * 8 + "x.store_exclusive(b);\n")),
        ("not an atomic's load", [], findings_of('config.load("a", path);\n')),
        ("compare_exchange over two lines", ["x.h:1: acq_rel", "x.h:2: acquire"],
         findings_of("x.compare_exchange_weak(a, b, std::memory_order_acq_rel,\n"
                     "                        std::memory_order_acquire);\n")),
        ("a wrapper's call", ["x.h:1: acquire"], findings_of("load_acquire(x);\n")),
        ("a wrapper", [], findings_of("// A(*): the caller names it.\nint load_acquire(W& w) {\n"
                                      "  return w.load(std::memory_order_acquire);\n}\n")),
        ("in a string or comment", [], findings_of('f("memory_order_acquire");  // memory_order_release\n')),
        ("fence", ["x.h:1: seq_cst"], findings_of("std::atomic_thread_fence(std::memory_order_seq_cst);\n")),
    ])


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    source_tree.finish(check(sys.argv[1]), "edges")
