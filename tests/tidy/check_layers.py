#!/usr/bin/env python3
"""An include points left (architecture.md, section 9): holds the map of layers as a table and names the
line that breaks it.   check_layers.py ROOT | --self-test"""

import os
import re
import sys
import tempfile

import source_tree

# Readable from everywhere: the words that all layers share.
VOCABULARY = {"ripstop/error.h", "ripstop/result.h", "ripstop/types.h"}

# The map. Folder: what it may include, beside itself and the vocabulary. "ripstop" is all of
# lib/include/ripstop. Folders not named here (tests, perf) may include everything.
_UP_TO_CONTROL = {"base", "layout", "ring", "topology", "codec", "memory", "control"}
MAY_INCLUDE = {
    "lib/include/ripstop": set(),  # Installed: an internal header would not be there.
    "lib/base": set(),
    "lib/topology": {"base"},
    "lib/codec": {"base"},
    "lib/layout": {"base"},
    "lib/ring": {"base", "layout"},
    "lib/memory": {"base", "layout", "ring", "topology", "codec"},
    "lib/control": {"base", "layout", "ring", "topology", "codec", "memory"},
    "lib/agent": _UP_TO_CONTROL | {"ripstop"},
    "daemon/supervisor": _UP_TO_CONTROL,
    "daemon/gateway": {"ripstop"},
    "daemon/bridge": {"ripstop"},
    "tools/shmctl": {"ripstop", "control", "base"},
    "tools/examples": {"ripstop"},
}

# One dependency, one folder: a package's headers, and the folders that may include them.
PACKAGES = {
    "boost/": {"lib/memory"},
    "hwloc": {"lib/topology"},
    "capnp/": {"lib/control", "lib/agent", "lib/include/ripstop", "tools/shmctl"},
    "kj/": {"lib/control", "lib/agent", "lib/include/ripstop", "tools/shmctl"},
    "lz4": {"lib/codec"},
    "zstd": {"lib/codec"},
    "liburing": {"daemon/gateway", "lib/memory"},
    "nlohmann/": {"daemon/supervisor", "daemon/gateway", "daemon/bridge", "tools/shmctl"},
    "CLI/": {"daemon/supervisor", "daemon/gateway", "daemon/bridge", "tools/shmctl"},
}

_INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def folder_of(path):
    """The row of MAY_INCLUDE that `path` falls under, or None."""
    for folder in MAY_INCLUDE:
        if path.startswith(folder + "/"):
            return folder
    return None


def check_file(root, path):
    folder = folder_of(path)
    if folder is None:
        return [f"{path}:1: {os.path.dirname(path)}/ is not on the map of layers (check_layers.py)"]
    findings = []
    layers = {row.split("/")[1] for row in MAY_INCLUDE if row.startswith("lib/") and row.count("/") == 1}
    programs = {row.split("/")[1]: row for row in MAY_INCLUDE if not row.startswith("lib/")}
    for number, line in enumerate(source_tree.read(root, path).split("\n"), 1):
        m = _INCLUDE.match(line)
        if not m:
            continue
        quoted, angled = m.groups()
        name = quoted or angled
        here = f"{path}:{number}: "
        first = name.split("/")[0]
        if first == "ripstop" and "/" in name:
            if name in VOCABULARY or folder == "lib/include/ripstop" or "ripstop" in MAY_INCLUDE[folder]:
                continue
            findings.append(f"{here}{folder} may not include {name}: of the public headers only "
                            f"{', '.join(sorted(VOCABULARY))}")
        elif quoted and first in layers and "/" in name:
            if folder == "lib/" + first or first in MAY_INCLUDE[folder]:
                continue
            may = ", ".join(sorted(MAY_INCLUDE[folder])) or "nothing but itself"
            findings.append(f"{here}{folder} may not include {name} (it may include: {may})")
        elif quoted and first in programs and "/" in name:
            if programs[first] != folder:
                findings.append(f"{here}{folder} may not include {name}: a program keeps its headers to itself")
        elif quoted and ".." in name.split("/"):
            findings.append(f"{here}write {name} from lib/, not with \"..\"")
        elif quoted and "/" not in name:
            if not os.path.exists(os.path.join(root, os.path.dirname(path), name)) and not name.endswith(".capnp.h"):
                findings.append(f"{here}{name} is not in {os.path.dirname(path)}/; an internal header is "
                                "written from lib/: \"layer/name.h\"")
            elif folder.startswith("lib/") and folder != "lib/include/ripstop":
                findings.append(f"{here}write \"{os.path.dirname(path)[len('lib/'):]}/{name}\"")
        elif angled:
            for package, owners in PACKAGES.items():
                # "hwloc" stands for hwloc.h and hwloc/...
                if re.match(re.escape(package) + ("" if package.endswith("/") else r"[./_]"), name) \
                        and folder not in owners:
                    findings.append(f"{here}<{name}> belongs in {', '.join(sorted(owners))}, not in {folder}")
        else:
            findings.append(f"{here}{name}: no layer of that name")
    return findings


def check(root):
    findings = []
    for path in source_tree.cxx_files(root, {"lib", "daemon", "tools"}):
        findings += check_file(root, path)
    return findings


def self_test():
    def findings_of(path, text, also=()):
        with tempfile.TemporaryDirectory() as root:
            for p, t in [(path, text), *also]:
                os.makedirs(os.path.dirname(os.path.join(root, p)), exist_ok=True)
                with open(os.path.join(root, p), "w", encoding="utf-8") as f:
                    f.write(t)
            return check(root)

    source_tree.finish_self_test([
        ("left is fine", [], findings_of("lib/ring/r.h", '#include <atomic>\n#include "layout/words.h"\n')),
        ("itself is fine", [], findings_of("lib/ring/r.cc", '#include "ring/r.h"\n')),
        ("right is named", ["lib/layout/w.h:2"],
         findings_of("lib/layout/w.h", '#pragma once\n#include "ring/r.h"\n')),
        ("a leaf stays one", ["lib/topology/n.cc:1"], findings_of("lib/topology/n.cc", '#include "layout/words.h"\n')),
        ("vocabulary from everywhere", [], findings_of("lib/base/a.cc", '#include "ripstop/error.h"\n')),
        ("other public headers not", ["lib/ring/a.cc:1"], findings_of("lib/ring/a.cc", '#include "ripstop/agent.h"\n')),
        ("agent may", [], findings_of("lib/agent/a.cc", '#include "ripstop/agent.h"\n#include "memory/segment.h"\n')),
        ("installed headers stand alone", ["lib/include/ripstop/a.h:1"],
         findings_of("lib/include/ripstop/a.h", '#include "ring/r.h"\n')),
        ("supervisor up to control", ["daemon/supervisor/a.cc:2"],
         findings_of("daemon/supervisor/a.cc", '#include "control/control.capnp.h"\n#include "agent/inbox.h"\n')),
        ("gateway outside", ["daemon/gateway/a.cc:1"], findings_of("daemon/gateway/a.cc", '#include "base/clock.h"\n')),
        ("shmctl: public and control", ["tools/shmctl/a.cc:3"],
         findings_of("tools/shmctl/a.cc", '#include "ripstop/inspect.h"\n#include "control/client.h"\n'
                                          '#include "ring/r.h"\n')),
        ("own folder of a program", [], findings_of("tools/shmctl/a.cc", '#include "verb.h"\n',
                                                    [("tools/shmctl/verb.h", "#pragma once\n")])),
        ("package elsewhere", ["<hwloc.h>"], findings_of("lib/memory/a.cc", "#include <hwloc.h>\n")),
        ("package at home", [], findings_of("lib/memory/a.cc", "#include <boost/interprocess/mapped_region.hpp>\n")),
        ("upwards path", ["from lib/"], findings_of("lib/ring/a.cc", '#include "../layout/words.h"\n')),
        ("unknown folder", ["not on the map"], findings_of("lib/extras/a.cc", "\n")),
    ])


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    source_tree.finish(check(sys.argv[1]), "layers")
