#!/usr/bin/env python3
"""The program in README.md is the one that tests/public builds and runs, line for line.
check_readme.py ROOT | --self-test"""

import os
import re
import sys

import source_tree

SOURCES = ("tests/public/quickstart_test.cc", "tests/public/quickstart.cc")
BEGIN, END = "// README:begin", "// README:end"


def programs(readme):
    """(first line's number, lines) of each fenced C++ program that has a main."""
    found = []
    for m in re.finditer(r"^```(?:cpp|c\+\+|cc)[^\n]*\n(.*?)^```\s*$", readme, re.M | re.S):
        if "int main" in m.group(1):
            found.append((readme.count("\n", 0, m.start(1)) + 1, m.group(1).rstrip("\n").split("\n")))
    return found


def region(source):
    """(first line's number, lines) between the marks, or None."""
    lines = source.split("\n")
    marks = [line.strip() for line in lines]
    if marks.count(BEGIN) != 1 or marks.count(END) != 1 or marks.index(END) < marks.index(BEGIN):
        return None
    first = marks.index(BEGIN) + 1
    return first + 1, lines[first:marks.index(END)]


def compare(readme, source, source_path):
    shown = programs(readme)
    if len(shown) != 1:
        return [f"README.md: {len(shown)} C++ programs with int main, there should be one"]
    marked = region(source)
    if marked is None:
        return [f"{source_path}: no single region from '{BEGIN}' to '{END}'"]
    (readme_at, readme_lines), (source_at, source_lines) = shown[0], marked
    for i in range(max(len(readme_lines), len(source_lines))):
        a = readme_lines[i] if i < len(readme_lines) else "(end)"
        b = source_lines[i] if i < len(source_lines) else "(end)"
        if a != b:
            return [f"README.md:{readme_at + i}: {a!r} differs from {source_path}:{source_at + i}: {b!r}"]
    return []


def check(root):
    if not os.path.exists(os.path.join(root, "README.md")):
        return ["README.md: is missing"]
    for path in SOURCES:
        if os.path.exists(os.path.join(root, path)):
            return compare(source_tree.read(root, "README.md"), source_tree.read(root, path), path)
    return [f"{SOURCES[0]}: is missing"]


def self_test():
    program = "#include <ripstop/agent.h>\n\nint main() {\n}\n"
    source = f"// Head.\n{BEGIN}\n{program}{END}\n"
    fenced = f"text\n```cpp\n{program}```\nmore\n```cpp\nint f();\n```\n"
    source_tree.finish_self_test([
        ("the same", [], compare(fenced, source, "q.cc")),
        ("one line differs", ["README.md:5"], compare(fenced.replace("main() {", "main(){"), source, "q.cc")),
        ("one line more", ["(end)"], compare(fenced, source.replace("}\n//", "}\n\n//"), "q.cc")),
        ("no program", ["0 C++ programs"], compare("text\n", source, "q.cc")),
        ("no marks", ["no single region"], compare(fenced, program, "q.cc")),
    ])


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    source_tree.finish(check(sys.argv[1]), "readme")
