#!/usr/bin/env python3
"""Every header compiles alone, with warnings as errors.

A header that its own source (foo.cc beside foo.h) includes before anything else is compiled alone by the
build; here it must only bear #pragma once. All others are compiled.

check_headers.py ROOT --compiler "g++ -std=c++20" [-I DIR]... | --self-test [--compiler ...]"""

import argparse
import concurrent.futures
import os
import re
import shlex
import subprocess
import tempfile

import source_tree

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]


def compile_alone(compiler, includes, path):
    """None, or the compiler's first words about `path`."""
    # The header is read twice: it must bear its own #pragma once as well.
    program = f'#include "{path}"\n#include "{path}"\nint main() {{}}\n'
    run = subprocess.run(
        [*compiler, *WARNINGS, "-fsyntax-only", *[f"-I{d}" for d in includes], "-x", "c++", "-"],
        input=program, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return None
    said = [line for line in run.stderr.split("\n") if "error" in line]
    return said[0] if said else run.stderr.strip()


def compiled_by_the_build(root, path):
    """Whether the header's own source includes it first, and it may be included twice."""
    source = os.path.join(root, path[:-2] + ".cc")
    if not os.path.exists(source):
        return False
    with open(source, encoding="utf-8") as f:
        first = re.search(r'^#include [<"](.*)[>"]$', f.read(), re.M)
    with open(os.path.join(root, path), encoding="utf-8") as f:
        once = re.search(r"^#pragma once$", f.read(), re.M)
    return bool(first and once and ("/" + path).endswith("/" + first.group(1)))


def check(root, compiler, includes, jobs=2):
    headers = [p for p in source_tree.cxx_files(root, {"lib", "daemon", "tools"})
               if p.endswith(".h") and not compiled_by_the_build(root, p)]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        said = pool.map(lambda p: compile_alone(compiler, includes, os.path.join(root, p)), headers)
        return [f"{p}: does not compile alone: {words}" for p, words in zip(headers, said) if words]


def self_test(compiler):
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "lib"))
        for name, text in (("good.h", "#pragma once\n#include <string>\nstd::string f();\n"),
                           ("needs_string.h", "#pragma once\nstd::string f();\n"),
                           ("twice.h", "struct Twice {};\n"),
                           ("warns.h", "#pragma once\ninline int f(int unused) { return 0; }\n"),
                           ("second.h", "#pragma once\nstd::string h();\n"),
                           ("second.cc", '#include <string>\n#include "second.h"\n'),
                           ("first.h", "#pragma once\nstd::string first();\n"),  # The build says so.
                           ("first.cc", '#include "lib/first.h"\n')):
            with open(os.path.join(root, "lib", name), "w", encoding="utf-8") as f:
                f.write(text)
        source_tree.finish_self_test([
            ("four of six", ["needs_string.h", "second.h", "twice.h", "warns.h"], check(root, compiler, []))])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?")
    parser.add_argument("--compiler", default="g++ -std=c++20")
    parser.add_argument("-I", action="append", default=[], dest="includes")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    command = shlex.split(args.compiler)
    if args.self_test:
        self_test(command)
    source_tree.finish(check(args.root, command, args.includes), "headers")
