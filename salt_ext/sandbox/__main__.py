# SPDX-License-Identifier: GPL-3.0-or-later
"""``qubesd-sandbox``: a qubesd for machines without Qubes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import machine
from .faults import PlanFile
from .journal import Journal, StateError
from .pci import MachineError
from .server import Server
from .store import Store
from .sysfs import write_tree


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="qubesd-sandbox",
        description="A qubesd for machines without Qubes: a store of qubes behind the Admin API. "
        "Prints 'ready' once it listens; SIGTERM ends it.",
    )
    found.add_argument("--socket", required=True, metavar="PATH", help="unix socket to listen on")
    found.add_argument("--machine", type=Path, metavar="FILE.yaml",
                       help="what differs from the default machine")  # fmt: skip
    found.add_argument("--state", type=Path, metavar="FILE.json",
                       help="where the store survives the daemon")  # fmt: skip
    found.add_argument("--log", type=Path, metavar="FILE.jsonl",
                       help="append an object for each connection")  # fmt: skip
    found.add_argument("--root", type=Path, metavar="DIR",
                       help="write the machine's PCI tree of /sys below DIR")  # fmt: skip
    found.add_argument("--faults", type=Path, metavar="FILE.json",
                       help="fault plan, read again when it changes and on SIGHUP")  # fmt: skip
    return found


def restore(store: Store, journal: Journal) -> None:
    """Take over what an earlier daemon saved; the machine file then only says what hardware
    there is."""
    records = journal.load()
    if records is None:
        return
    for name in [name for name in store.qubes if name not in records and name != "dom0"]:
        store.remove(name)
    for name, record in records.items():
        store.restore(name, record)
    store.settle_volumes()
    store.touched.clear()


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; the exit status."""
    options = parser().parse_args(arguments)
    journal = None
    try:
        store = machine.build(machine.load(options.machine))
        if options.state is not None:
            journal = Journal(options.state)
            restore(store, journal)
        if options.root is not None:
            write_tree(options.root, store.hardware.devices)
        plan_file = PlanFile(options.faults) if options.faults is not None else None
        Server(store, journal, options.log, plan_file).run(options.socket)
    except (MachineError, StateError, OSError) as error:
        print(f"qubesd-sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
