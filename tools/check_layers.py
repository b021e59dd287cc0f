# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks, from their #include lines, that the folders of csrc/ only look downwards.

Prints each line that breaks a rule; exits 1 if there is one.
"""

import re
import sys
from pathlib import Path

# What a folder may include beside itself. Nothing here may be in a circle.
BELOW = {
    "base": [],
    "doc": ["base"],
    "wire": ["base", "doc"],
    "net": ["base", "doc", "wire"],
    "host": ["base"],
    "qubes": ["base", "doc", "wire", "net"],
    "plan": ["base", "doc", "wire", "net", "host", "qubes"],
    "qvm": ["base", "doc", "wire", "net", "host", "qubes", "plan"],
    "gpu": ["base", "doc", "wire", "net", "host", "qubes", "plan", "qvm"],
    "nvidia": ["base", "doc", "wire", "net", "host", "qubes", "plan"],
}
BELOW["salt"] = list(BELOW)
BELOW["py"] = list(BELOW)
ONLY_IN = {"Python.h": "py", "yaml.h": "doc"}  # as <...>
GENERATED = {"defaults_yaml.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def complaint(folder, quoted, angled):
    """What is wrong with one #include line in a folder; None where nothing is."""
    if angled:
        owner = ONLY_IN.get(angled)
        return f"<{angled}> belongs to {owner}/ alone" if owner not in (None, folder) else None
    if quoted in GENERATED:
        return None
    other, slash, _ = quoted.partition("/")
    if not slash:
        return f'"{quoted}" names no folder'
    if other != folder and other not in BELOW[folder]:
        return f"{folder}/ may not look at {other}/"
    return None


def main(csrc):
    failed = False
    for path in sorted(csrc.glob("*/*.[ch]")):
        folder = path.parent.name
        if folder not in BELOW:
            print(f"{path}: the folder {folder}/ has no place in {Path(__file__).name}")
            failed = True
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = INCLUDE.match(line)
            wrong = found and complaint(folder, *found.groups())
            if wrong:
                print(f"{path}:{number}: {wrong}")
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "csrc")))
