#!/usr/bin/env python3
"""lib/layout/LAYOUT.md says what the headers say: its drawings, tables of bits and constants become
static assertions, which are compiled.
check_layout_md.py ROOT --compiler "g++ -std=c++20" [-I DIR]... | --self-test [--compiler ...]

- `Name: N bytes` and the rows `offset | field   size |` below it are a structure: every field has
  that offset and size, the rows leave no gap and no byte out, and a rule stands at every multiple of
  64 that a field begins at, and nowhere else. A row `offset - padding  size -` is the compiler's.
- `| name | low..high | `expression` |`: the expression is the mask of these bits.
- `kName` = number: the constant has that value.
- Every structure of lib/layout is drawn."""

import argparse
import os
import re
import shlex
import subprocess
import tempfile

import source_tree

DOCUMENT = "lib/layout/LAYOUT.md"
LINE = 64

_STRUCT = re.compile(r"^(\w+): (\d+) bytes$")
_ROW = re.compile(r"^\s*(\d+) ([|-]) (\w+(?::\d+)?(?: \w+:\d+)*)\s+(\d+) [|-]")
_RULE = re.compile(r"^\s+\+-+\+$")
_BITS = re.compile(r"^\| .* \| (\d+)\.\.(\d+) \| `([^`]+)` \|$")
_CONSTANT = re.compile(r"`(k\w+)`\s+=\s+(0x[0-9a-f]+|\d+)")
_DECLARED = re.compile(r"^struct (?:alignas\([^)]*\)+ )?(\w+) \{", re.M)
# Not in memory: what a slot's word unpacks to.
NOT_DRAWN = {"SlotState", "DirectWord", "LateWord"}


def read_document(text):
    """(assertions, findings, names of the structures): an assertion is (line, C++ condition)."""
    assertions, findings, drawn = [], [], set()
    name, size, at, ruled = None, 0, 0, False

    def close(number):
        if name is not None and at != size:
            findings.append(f"{number}: {name} has {size} bytes, its rows end at {at}")

    for number, line in enumerate(text.split("\n"), 1):
        struct, row, bits = _STRUCT.match(line), _ROW.match(line), _BITS.match(line)
        if struct or line.startswith("```"):
            close(number)
            name = None
        if struct:
            name, size, at, ruled = struct.group(1), int(struct.group(2)), 0, False
            drawn.add(name)
            assertions.append((number, f"sizeof({name}) == {size}"))
        elif _RULE.match(line):
            ruled = True
            if name is not None and at % LINE and at != size:
                findings.append(f"{number}: a rule at {at}, which is no multiple of {LINE}")
        elif row and name is not None:
            offset, kind, field, count = int(row.group(1)), row.group(2), row.group(3), int(row.group(4))
            if offset != at:
                findings.append(f"{number}: {name}.{field} is drawn at {offset}, the row above ends at {at}")
            if offset % LINE == 0 and not ruled:
                findings.append(f"{number}: {name}.{field} begins a line, no rule stands above it")
            if kind == "|" and ":" not in field:  # Bit fields and padding have no offset.
                assertions.append((number, f"offsetof({name}, {field}) == {offset}"))
                assertions.append((number, f"sizeof({name}::{field}) == {count}"))
            at, ruled = offset + count, False
        elif bits:
            low, high, expression = int(bits.group(1)), int(bits.group(2)), bits.group(3)
            mask = ((1 << (high - low + 1)) - 1) << low
            assertions.append((number, f"({expression}) == {mask:#x}u"))
    for match in _CONSTANT.finditer(text):
        assertions.append((text.count("\n", 0, match.start()) + 1, f"{match.group(1)} == {match.group(2)}u"))
    return assertions, findings, drawn


def check(root, compiler, includes):
    text = source_tree.read(root, DOCUMENT)
    assertions, findings, drawn = read_document(text)
    findings = [f"{DOCUMENT}:{finding}" for finding in findings]
    headers = sorted(n for n in os.listdir(os.path.join(root, "lib/layout")) if n.endswith(".h"))
    for header in headers:
        for name in _DECLARED.findall(source_tree.read(root, f"lib/layout/{header}")):
            if name not in drawn | NOT_DRAWN:
                findings.append(f"lib/layout/{header}: {name} is not drawn")
    program = ["#include <cstddef>", "#include <cstdint>", *(f'#include "layout/{h}"' for h in headers),
               "using namespace ripstop::layout;"]
    for number, condition in assertions:
        program += [f'#line {number} "{DOCUMENT}"', f"static_assert({condition});"]
    run = subprocess.run([*compiler, "-Wno-invalid-offsetof", "-fsyntax-only", "-fmax-errors=0",
                          *(f"-I{d}" for d in includes), "-x", "c++", "-"],
                         input="\n".join(program) + "\n", capture_output=True, text=True, check=False)
    said = [line for line in run.stderr.split("\n") if "error:" in line]
    if run.returncode and not said:
        said = [run.stderr.strip()]
    return findings + said


def self_test(compiler):
    header = ("#pragma once\n#include <cstdint>\nnamespace ripstop::layout {\n"
              "inline constexpr unsigned kSeven = 7;\n"
              "struct A {\n  uint64_t x;\n  uint32_t y;\n  uint8_t z[52];\n  uint64_t far;\n};\n}\n")
    good = ("```\nA: 72 bytes\n   +---+\n 0 | x 8 | who\n 8 | y 4 |\n12 | z 52 |\n   +---+\n64 | far 8 |\n   +---+\n```\n"
            "`kSeven` = 7\n| low | 0..2 | `kSeven` |\n")

    def findings_of(text, more=""):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "lib/layout"))
            for name, content in (("a.h", header + more), ("LAYOUT.md", text)):
                with open(os.path.join(root, "lib/layout", name), "w", encoding="utf-8") as f:
                    f.write(content)
            return check(root, compiler, [os.path.join(root, "lib")])

    source_tree.finish_self_test([
        ("as it is", [], findings_of(good)),
        ("wrong size", ["no multiple", "its rows end", "assert"], findings_of(good.replace("A: 72", "A: 80"))),
        ("wrong offset", ["is drawn at 9", "is drawn at 12", "assert"],
         findings_of(good.replace(" 8 | y", " 9 | y"))),
        ("wrong width", ["is drawn at 12", "assert"], findings_of(good.replace("y 4", "y 2"))),
        ("missing rule", ["no rule"], findings_of(good.replace("12 | z 52 |\n   +---+\n", "12 | z 52 |\n"))),
        ("misplaced rule", ["no multiple"], findings_of(good.replace(" 8 | y", "   +---+\n 8 | y"))),
        ("no such field", ["error", "error"], findings_of(good.replace("| y 4", "| w 4"))),
        ("wrong constant", ["assert"], findings_of(good.replace("= 7", "= 8"))),
        ("wrong bits", ["assert"], findings_of(good.replace("0..2", "0..3"))),
        ("not drawn", ["B is not drawn"], findings_of(good, "struct B {\n  int x;\n};\n")),
    ])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?")
    parser.add_argument("--compiler", default="g++ -std=c++20 -mcx16")
    parser.add_argument("-I", action="append", default=[], dest="includes")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    command = shlex.split(args.compiler)
    if args.self_test:
        self_test(command)
    source_tree.finish(check(args.root, command, args.includes), "layout")
