"""The tree under check: which files there are, and their text without comments or strings."""

import os
import re
import subprocess
import sys

CXX_ENDINGS = (".h", ".cc", ".capnp.h")


def files(root, folders=None):
    """Paths of the project's files, relative to root, sorted. What git ignores is not the project's;
    without git, build directories and fetched subprojects are left out by name."""
    listed = None
    if os.path.exists(os.path.join(root, ".git")):
        try:
            out = subprocess.run(
                ["git", "-C", root, "-c", "safe.directory=*", "ls-files", "-z",
                 "--cached", "--others", "--exclude-standard"],
                capture_output=True, check=True).stdout
            listed = [p for p in out.decode().split("\0") if p]
        except (OSError, subprocess.CalledProcessError):
            listed = None
    if listed is None:
        listed = []
        for at, dirs, names in os.walk(root):
            inside = os.path.relpath(at, root)
            dirs[:] = [d for d in dirs if d not in (".git", "__pycache__", "target")
                       and not (inside == "." and d.startswith("build"))
                       and not (inside == "subprojects" and d != "packagefiles")]
            listed += [os.path.normpath(os.path.join(inside, n)) for n in names]
    listed = [p for p in listed if os.path.isfile(os.path.join(root, p))]
    if folders is not None:
        listed = [p for p in listed if p.split("/")[0] in folders]
    return sorted(set(listed))


def cxx_files(root, folders):
    return [p for p in files(root, folders) if p.endswith(CXX_ENDINGS)]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]{0,16})\(.*?\)(?P=d)"'
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'', re.S)


def split_comments(text):
    """(code, comments): two texts with the lines of `text`. In `code`, comments and the contents of
    strings are blanks; in `comments`, everything else is."""
    def blank(s):
        return re.sub(r"[^\n]", " ", s)

    code, comments, at = [], [], 0
    for m in _TOKEN.finditer(text):
        between, token = text[at:m.start()], m.group()
        code.append(between)
        comments.append(blank(between))
        code.append(blank(token))
        comments.append(token if token.startswith("/") else blank(token))
        at = m.end()
    code.append(text[at:])
    comments.append(blank(text[at:]))
    return "".join(code), "".join(comments)


def finish(findings, what):
    """Prints the findings, one a line, and ends the program: 0 if there are none."""
    for finding in findings:
        print(finding)
    print(f"{what}: {len(findings)} finding(s)" if findings else f"{what}: nothing found")
    sys.exit(1 if findings else 0)


def finish_self_test(cases):
    """Each case is (name, expected, got): `expected` is a list of words, one for each finding in
    `got`, that the finding must contain; an empty list means that nothing may be found."""
    failed = 0
    for name, expected, got in cases:
        ok = len(expected) == len(got) and all(e in g for e, g in zip(expected, got))
        if not ok:
            failed += 1
            print(f"self-test failed: {name}\n  expected {expected}\n  got      {got}")
    print(f"self-test: {len(cases) - failed} of {len(cases)} cases as expected")
    sys.exit(1 if failed else 0)
