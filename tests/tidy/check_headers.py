#!/usr/bin/env python3
"""Every header compiles alone, with warnings as errors.
check_headers.py ROOT --compiler "g++ -std=c++20" [-I DIR]... | --self-test [--compiler ...]"""

import argparse
import concurrent.futures
import os
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


def check(root, compiler, includes, jobs=2):
    headers = [p for p in source_tree.cxx_files(root, {"lib", "daemon", "tools"}) if p.endswith(".h")]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        said = pool.map(lambda p: compile_alone(compiler, includes, os.path.join(root, p)), headers)
        return [f"{p}: does not compile alone: {words}" for p, words in zip(headers, said) if words]


def self_test(compiler):
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "lib"))
        for name, text in (("good.h", "#pragma once\n#include <string>\nstd::string f();\n"),
                           ("needs_string.h", "#pragma once\nstd::string f();\n"),
                           ("twice.h", "struct Twice {};\n"),
                           ("warns.h", "#pragma once\ninline int f(int unused) { return 0; }\n")):
            with open(os.path.join(root, "lib", name), "w", encoding="utf-8") as f:
                f.write(text)
        source_tree.finish_self_test([
            ("three of four", ["needs_string.h", "twice.h", "warns.h"], check(root, compiler, []))])


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
