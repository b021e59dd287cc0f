# SPDX-License-Identifier: GPL-3.0-or-later
"""What a state costs, in ratios from one run against one daemon.

(a)  the three calls that an unchanged qube cannot do without, one after the other, from C;
(a') the same at once; (b) the core's plan of the guide's unchanged state;
(c)  salt-call with 1, 50, 200, 1000 unchanged qubes beside as many ``test.nop`` states, in turn;
(d)  the first creation, with its clone; (e) 1000 states that all change something.

    python bench/bench.py [--rounds N] [--most N] [--out FOLDER]

``QUBESD_SOCKET`` names a real daemon instead of the sandbox: then only (a) to (b) run, on the qube
that ``--qube`` names, which must be as the guide's state has it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from saltext.qvm_gpu.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[1]
GUIDE_STATE = {
    "present": [{"template": "fedora-40-xfce"}, {"class": "StandaloneVM"}, {"label": "yellow"}],
    "prefs": [
        {"label": "yellow"}, {"mem": 4000}, {"vcpus": 4}, {"pcidevs": ["01:00.0", "01:00.1"]},
        {"virt_mode": "hvm"}, {"kernel": None}, {"maxmem": 0},
    ],
    "features": [{"set": [{"menu-items": "qubes-run-terminal.desktop"}]}],
}  # fmt: skip


def spread(values):
    """Median and the middle half's width of a list of numbers."""
    quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": statistics.median(values), "spread": quarters[2] - quarters[0]}


def core(binary, socket, qube, rounds):
    """(a), (a') and (b) in microseconds."""
    command = [str(binary), socket, qube, str(rounds), "times"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    columns = zip(*(map(float, line.split()) for line in lines), strict=True)
    return dict(zip(("a", "a'", "b"), map(spread, columns), strict=True))


def leak(binary, socket, qube, rounds):
    """Growth of the resident set in kB over rounds of the plan, after the first tenth."""
    command = [str(binary), socket, qube, str(rounds), "leak"]
    early, late = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(late) - int(early)


class Minion:
    """dom0's minion in a folder of its own."""

    def __init__(self, folder, socket, root):
        self.folder = folder
        config = {
            "id": "dom0", "file_client": "local", "root_dir": str(folder),
            "cachedir": str(folder / "cache"), "pki_dir": str(folder / "pki"),
            "log_file": str(folder / "log"), "file_roots": {"base": [str(folder / "srv")]},
            "enable_gpu_grains": False,
        }  # fmt: skip
        (folder / "srv").mkdir()
        (folder / "minion").write_text(yaml.safe_dump(config), "utf-8")
        self.environment = {**os.environ, "QUBESD_SOCKET": socket, "QVM_GPU_ROOT": str(root)}

    def apply(self, states):
        """Apply a mapping of states with a real salt-call: seconds, CPU seconds, peak RSS in kB."""
        (self.folder / "srv" / "t.sls").write_text("#!yaml\n" + yaml.safe_dump(states), "utf-8")
        command = [
            str(Path(sys.executable).with_name("salt-call")),
            "--local",
            "-c",
            str(self.folder),
        ]
        command += ["--out", "json", "-l", "quiet", "state.apply", "t"]
        with tempfile.TemporaryFile() as output:
            begun = time.monotonic()
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.DEVNULL, env=self.environment
            )
            _pid, _status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begun
            output.seek(0)
            answer = json.load(output)["local"]
        wrong = [state for state in answer.values() if state["result"] is not True]
        if wrong:
            sys.exit(f"a state did not succeed: {wrong[0]['comment']}")
        changed = sum(bool(state["changes"]) for state in answer.values())
        cpu = usage.ru_utime + usage.ru_stime
        return {"seconds": seconds, "cpu": cpu, "rss": usage.ru_maxrss, "changed": changed}


def guide_states(function, count):
    """The guide's state for so many qubes: ``qvm.vm``, or ``test.nop`` with the very same words."""
    items = [{key: value} for key, value in GUIDE_STATE.items()]
    return {f"s{i}": {function: [{"name": f"q-{i}"}, *items]} for i in range(1, count + 1)}


def changing(count):
    """States of every kind of change, on as many qubes."""
    kinds = [
        ("qvm.prefs", lambda i: [{"memory": 1000 + i}]),
        ("qvm.features", lambda i: [{"set": [{"x": f"v{i}"}]}]),
        ("qvm.tags", lambda i: [{"add": [f"t{i}"]}]),
        ("qvm.service", lambda i: [{"enable": ["cups"]}]),
        ("qvm.prefs", lambda i: [{"label": "red"}, {"vcpus": 3}]),
    ]
    states = {}
    for i in range(1, count + 1):
        function, body = kinds[i % len(kinds)]
        states[f"c{i}"] = {function: [{"name": f"q-{i}"}, *body(i)]}
    return states


def machine(count):
    """A machine with so many qubes that are as the guide's state has them."""
    base = {
        "class": "StandaloneVM", "label": "yellow",
        "properties": {"memory": 4000, "vcpus": 4, "virt_mode": "hvm", "kernel": "", "maxmem": 0},
        "features": {"menu-items": "qubes-run-terminal.desktop"},
        "devices": ["01:00.0", "01:00.1"],
    }  # fmt: skip
    return {"qubes": {"q-0": base}, "clones": {"of": "q-0", "count": count, "prefix": "q"}}


def compare(minion, sandbox, counts, rounds):
    """(c): unchanged qubes beside test.nop, in turn."""
    rows = []
    for count in counts:
        pairs = {"nop": [], "ours": []}
        for _ in range(rounds):
            pairs["nop"].append(minion.apply(guide_states("test.nop", count)))
            sandbox.clear_log()
            pairs["ours"].append(minion.apply(guide_states("qvm.vm", count)))
            calls = len(sandbox.log())
        seconds = {kind: spread([run["seconds"] for run in runs]) for kind, runs in pairs.items()}
        rss = {kind: max(run["rss"] for run in runs) for kind, runs in pairs.items()}
        above = (seconds["ours"]["median"] - seconds["nop"]["median"]) / count * 1e3
        rows.append(
            {"qubes": count, "calls": calls, "seconds": seconds, "rss": rss, "above_ms": above}
        )
        print(
            f"(c) {count:5d} qubes  salt+ours {seconds['ours']['median']:6.2f} s"
            f"  test.nop {seconds['nop']['median']:6.2f} s  {calls:5d} calls"
            f"  above test.nop {above:6.2f} ms a state  RSS {rss['ours'] - rss['nop']:+d} kB"
        )
    return rows


def draw(rows, floor_us, path):
    """Cost against the number of qubes, as a PNG; needs matplotlib."""
    try:
        importlib.import_module("matplotlib").use("Agg")
    except ImportError:
        print("no plot: matplotlib is not installed (requirements/bench.txt)")
        return
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    counts = [row["qubes"] for row in rows]
    for kind, label in (
        ("ours", "Salt with unchanged qubes"),
        ("nop", "Salt with as many test.nop"),
    ):
        medians = [row["seconds"][kind]["median"] for row in rows]
        axes.plot(counts, medians, marker="o", label=label)
    axes.plot(
        counts, [count * floor_us / 1e6 for count in counts], "--", label="the calls alone, from C"
    )
    axes.set(xlabel="qubes", ylabel="seconds", xscale="log", yscale="log")
    axes.set_title("An unchanged state beside Salt's own cost")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f"plot: {path}")


def against_sandbox(options, binary, folder):
    """All parts against the embedded daemon."""
    counts = [count for count in (1, 50, 200, 1000) if count <= options.most]
    with Sandbox(
        machine(max(counts)), folder=folder / "sandbox", root=True, state=False
    ) as sandbox:
        sandbox.snapshot()
        (folder / "minion").mkdir()
        minion = Minion(folder / "minion", sandbox.socket, sandbox.root)
        result = {"core": core(binary, sandbox.socket, "q-1", options.rounds)}
        show_core(result["core"])
        result["leak_kb"] = leak(binary, sandbox.socket, "q-1", options.leak)
        print(
            f"    {options.leak} plans: resident set {result['leak_kb']:+d} kB after the first tenth"
        )
        result["salt"] = compare(minion, sandbox, counts, options.repeat)
        floor = result["core"]["a'"]["median"]
        last = result["salt"][-1]
        result["state_above_floor_ms"] = last["above_ms"] - floor / 1e3
        grown = last["rss"]["ours"] - last["rss"]["nop"]
        first = result["salt"][0]["rss"]
        result["rss_growth_kb"] = grown - (first["ours"] - first["nop"])
        sandbox.clear_log()
        guide = [{key: value} for key, value in GUIDE_STATE.items()]
        run = minion.apply({"new": {"qvm.vm": [{"name": "new"}, *guide]}})
        result["first"] = {"seconds": run["seconds"], "calls": len(sandbox.log())}
        print(
            f"(d) first creation: {run['seconds']:.2f} s with Salt's start, {len(sandbox.log())} calls"
        )
        sandbox.clear_log()
        run = minion.apply(changing(max(counts)))
        result["changing"] = {**run, "states": max(counts), "calls": len(sandbox.log())}
        print(
            f"(e) {max(counts)} changing states: {run['seconds']:.2f} s, {len(sandbox.log())} calls, "
            f"{len(sandbox.writing_calls())} writing"
        )
    of = f"    of {last['qubes']} states"
    print(f"{of}, each above test.nop and floor: {result['state_above_floor_ms']:.2f} ms")
    print(
        f"    resident set of {last['qubes']} states above test.nop's: {result['rss_growth_kb']:+d} kB"
    )
    return result


def show_core(figures):
    """The table of (a), (a') and (b), and the ratios."""
    for key, label in (("a", "in turn"), ("a'", "at once"), ("b", "plan")):
        print(
            f"({key:2}) {label:8} {figures[key]['median']:8.0f} us  spread {figures[key]['spread']:6.0f} us"
        )
    for base in ("a", "a'"):
        print(f"    (b)/({base}) = {figures['b']['median'] / figures[base]['median']:.2f}")


def main():
    """Parse the command line, run, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the compiled bench/core.c")
    parser.add_argument("--rounds", type=int, default=400, help="of (a), (a') and (b)")
    parser.add_argument("--leak", type=int, default=100_000, help="plans for the resident set")
    parser.add_argument("--repeat", type=int, default=3, help="of each pair in (c)")
    parser.add_argument("--most", type=int, default=1000, help="most qubes in (c) and (e)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--qube", default="fedora-40-nvidia", help="with QUBESD_SOCKET: which qube")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    socket = os.environ.get("QUBESD_SOCKET")
    if socket:
        result = {"core": core(options.binary, socket, options.qube, options.rounds)}
        show_core(result["core"])
    else:
        folder = Path(tempfile.mkdtemp(prefix="qvm-gpu-bench-"))
        try:
            result = against_sandbox(options, options.binary, folder)
        finally:
            shutil.rmtree(folder)
        draw(result["salt"], result["core"]["a'"]["median"], options.out / "cost.png")
    result["machine"] = (
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    )
    (options.out / "bench.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"figures: {options.out / 'bench.json'}")


if __name__ == "__main__":
    main()
