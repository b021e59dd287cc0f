# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the beds: `python -m tests.beds.build [NAME...]`.

With `--shell NAME [PROGRAM...]` a program, else a shell, runs in a fresh copy of one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from . import beds, recipes


def main() -> int:
    """Build the named beds (all of them by default), or run a program in a fresh copy of one."""
    parser = argparse.ArgumentParser(prog="python -m tests.beds.build", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(beds.NAMES))
    parser.add_argument("--shell", action="store_true", help="run NAMES[1:] or sh in bed NAMES[0]")
    parser.add_argument("--rebuild", action="store_true", help="drop the cached bases first")
    args, rest = parser.parse_known_args()
    if args.shell:
        name, *program = args.names + rest
        with beds.Bed(name) as bed:
            command = ["chroot", str(bed.root), *(program or ["/bin/sh"])]
            return subprocess.run(command, env=recipes.ENVIRONMENT, check=False).returncode
    failed = 0
    for name in args.names or beds.NAMES:
        start = time.monotonic()
        if args.rebuild:
            beds.drop(name)
        try:
            folder = beds.build(name)
        except beds.BedUnavailable as error:
            print(f"{name}: unavailable: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{name}: {folder} ({time.monotonic() - start:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
