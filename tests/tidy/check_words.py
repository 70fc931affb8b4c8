#!/usr/bin/env python3
"""Names in the tree: no drawer, a closed top level, no package registry's host in any file.
check_words.py ROOT | --self-test"""

import os
import re
import sys

import source_tree

# A file is named after its noun.
DRAWERS = {"util", "utils", "utility", "utilities", "common", "helper", "helpers", "misc"}

# The top level (architecture.md, section 9), beside dotfiles.
TOP_LEVEL = {"meson.build", "meson_options.txt", "subprojects", "lib", "daemon", "tools", "tests", "perf",
             "README.md"}

# Put together here so that this file does not name them either. Which registry serves a machine is the
# machine's configuration.
REGISTRIES = [".".join(parts) for parts in (
    ("deb", "debian", "org"), ("security", "debian", "org"), ("ftp", "debian", "org"),
    ("archive", "ubuntu", "com"), ("pypi", "org"), ("files", "pythonhosted", "org"),
    ("registry", "npmjs", "org"), ("registry", "yarnpkg", "com"), ("crates", "io"),
    ("proxy", "golang", "org"), ("rubygems", "org"), ("wrapdb", "mesonbuild", "com"),
    ("registry-1", "docker", "io"), ("conda", "anaconda", "org"), ("repo1", "maven", "org"),
    ("repo", "maven", "apache", "org"))]
_REGISTRY = re.compile(r"(?<![\w-])(?:[\w-]+\.)*(?:" + "|".join(map(re.escape, REGISTRIES)) + r")(?![\w-])", re.I)


def check_path(path):
    findings = []
    parts = path.split("/")
    for part in parts:
        words = part.split(".")[0].lower()
        if words in DRAWERS:
            findings.append(f"{path}: '{part}' says nothing; name it after its noun")
    if parts[0] not in TOP_LEVEL and not parts[0].startswith("."):
        findings.append(f"{path}: the top level holds {', '.join(sorted(TOP_LEVEL))} and dotfiles only")
    return findings


def check_text(path, text):
    return [f"{path}:{number}: names a package registry's host"
            for number, line in enumerate(text.split("\n"), 1) if _REGISTRY.search(line)]


def check(root):
    findings = []
    for path in source_tree.files(root):
        findings += check_path(path)
        if os.path.getsize(os.path.join(root, path)) < 4 << 20:
            findings += check_text(path, source_tree.read(root, path))
    return findings


def self_test():
    host = REGISTRIES[4]
    source_tree.finish_self_test([
        ("a noun", [], check_path("lib/base/clock.h")),
        ("a drawer", ["says nothing"], check_path("lib/utils.h")),
        ("a drawer's folder", ["says nothing"], check_path("lib/common/clock.h")),
        ("part of a word", [], check_path("tests/e2e/uncommon_names_test.cc")),
        ("top level", ["top level"], check_path("docs/a.md")),
        ("dotfile", [], check_path(".ci/run")),
        ("a host", ["x:2"], check_text("x", f"one\nhttps://{host}/simple\n")),
        ("a longer host", ["x:1"], check_text("x", f"test.{host}")),
        ("another host", [], check_text("x", f"{host}anization.example and not{host}")),
    ])


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    source_tree.finish(check(sys.argv[1]), "words")
