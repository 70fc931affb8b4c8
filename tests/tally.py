"""Counts the cases of one `meson test`:   tally.py VARIANT TESTLOG.json MESON_OUTPUT

Prints what failed, with its output, and why something was skipped; then `passed failed skipped` as the
last line. A GoogleTest program and a unittest script count case by case, any other test as one."""

import json
import os
import re
import sys

_GTEST_END = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?),? .*?\(\d+ ms\)\s*$")
_GTEST_RUN = re.compile(r"\[ RUN +\] (\S+)")
_UNITTEST_END = re.compile(r"^Ran (\d+) tests? in ", re.M)
_UNITTEST_SKIP = re.compile(r"^(\S+) \(.*\).* \.\.\. skipped (.*)$", re.M)

# What a failed test said is shown to this length, from its end.
SHOWN_LINES = 60


def gtest_cases(text):
    """({case: outcome}, {case: why}) of a GoogleTest program's output; a case that began and did not end
    counts as FAILED."""
    outcomes, reasons, current, said = {}, {}, None, []
    for line in text.split("\n"):
        begun, ended = _GTEST_RUN.search(line), _GTEST_END.search(line)
        if begun:
            current, said = begun.group(1), []
            outcomes[current] = "FAILED"
        elif ended and ended.group(2).rstrip(",") in outcomes:
            outcomes[ended.group(2).rstrip(",")] = ended.group(1)
            if ended.group(1) == "SKIPPED":
                # "file.cc:12: Skipped" and the reason on the lines after it.
                why = [s.strip() for s in said if s.strip() and not s.rstrip().endswith(": Skipped")]
                reasons[current] = " ".join(why) or "no reason given"
            current = None
        elif current:
            said.append(line)
    return outcomes, reasons


def count(entry):
    """(passed, failed, skipped, notes) of one test's record in meson's testlog."""
    name, result = entry["name"].split(":")[-1].split(" / ")[-1].strip(), entry["result"]
    out, err = entry.get("stdout") or "", entry.get("stderr") or ""
    ok = result in ("OK", "EXPECTEDFAIL")
    notes = []

    if result == "SKIP":
        said = [s for s in (out + "\n" + err).split("\n") if s.strip()]
        return 0, 0, 1, [f"SKIP {name}: {said[-1].strip() if said else 'no reason given'}"]

    outcomes, reasons = gtest_cases(out)
    if outcomes:
        passed = sum(o == "OK" for o in outcomes.values())
        failed = [c for c, o in outcomes.items() if o == "FAILED"]
        skipped = [c for c, o in outcomes.items() if o == "SKIPPED"]
        notes += [f"SKIP {name} {c}: {reasons.get(c, 'no reason given')}" for c in skipped]
        notes += [f"FAIL {name} {c}" for c in failed]
        if not ok and not failed:
            failed = [result]
            notes.append(f"FAIL {name}: {result.lower()}, exit code {entry.get('returncode')}")
        return passed, len(failed), len(skipped), notes

    ran = _UNITTEST_END.search(err)
    if ran:
        counts = {k: int(v) for k, v in re.findall(r"(failures|errors|skipped)=(\d+)", err[ran.end():])}
        skipped = counts.get("skipped", 0)
        failed = counts.get("failures", 0) + counts.get("errors", 0)
        if not ok and not failed:
            failed = 1
        reasons = _UNITTEST_SKIP.findall(err)
        notes += [f"SKIP {name} {case}: {why}" for case, why in reasons]
        if skipped > len(reasons):
            notes.append(f"SKIP {name}: {skipped - len(reasons)} cases (run unittest with -v to see why)")
        if failed:
            notes.append(f"FAIL {name}: {failed} of {ran.group(1)} cases")
        return max(0, int(ran.group(1)) - failed - skipped), failed, skipped, notes

    if ok:
        return 1, 0, 0, []
    return 0, 1, 0, [f"FAIL {name}: {result.lower()}, exit code {entry.get('returncode')}"]


def main():
    variant, testlog, output = sys.argv[1:]
    totals = [0, 0, 0]
    entries = []
    if os.path.exists(testlog):
        with open(testlog, encoding="utf-8", errors="replace") as f:
            entries = [json.loads(line) for line in f if line.strip()]
    for entry in entries:
        passed, failed, skipped, notes = count(entry)
        totals = [a + b for a, b in zip(totals, (passed, failed, skipped))]
        for note in notes:
            print(f"{note[:4]} {variant} {note[5:]}")
        if failed:
            said = ((entry.get("stdout") or "") + (entry.get("stderr") or "")).rstrip().split("\n")
            print("\n".join("    " + s for s in said[-SHOWN_LINES:]))
    if not entries:
        with open(output, encoding="utf-8", errors="replace") as f:
            said = f.read()
        # Nothing to run is not a failure; meson itself failing is.
        if "No suitable tests defined" not in said and "No tests defined" not in said:
            print(f"FAIL {variant}: meson test did not run\n{said}")
            totals[1] += 1
    print(*totals)


if __name__ == "__main__":
    main()
