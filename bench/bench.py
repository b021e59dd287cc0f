# SPDX-License-Identifier: GPL-3.0-or-later
"""What a state costs, in ratios from one run against one daemon.

(a)  the three calls that an unchanged qube cannot do without, one after the other, from C;
(a') the same at once; (b) the core's plan of the guide's unchanged state;
(c)  salt-call with 1, 50, 200, 1000 unchanged qubes beside as many ``test.nop`` states, in turn;
(d)  the first creation, with its clone; (e) 1000 states of every kind of change.

    python bench/bench.py --binary bench_core [--quick] [--repeat N] [--most N] [--out FOLDER]

``QUBESD_SOCKET`` names a real daemon instead of the sandbox: then only (a) to (b) run, on the qube
that ``--qube`` names, which must be as the guide's state has it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from saltext.qvm_gpu.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[1]
COUNTS = (1, 50, 200, 1000)
FEW_PAGES_KB = 16
GUIDE_STATE = {
    "present": [{"template": "fedora-40-xfce"}, {"class": "StandaloneVM"}, {"label": "yellow"}],
    "prefs": [
        {"label": "yellow"}, {"mem": 4000}, {"vcpus": 4}, {"pcidevs": ["01:00.0", "01:00.1"]},
        {"virt_mode": "hvm"}, {"kernel": None}, {"maxmem": 0},
    ],
    "features": [{"set": [{"menu-items": "qubes-run-terminal.desktop"}]}],
}  # fmt: skip

LOADING = """
import importlib.util, os, sys, time
import logging, platform, struct, salt.exceptions
begun = time.perf_counter()
for path in PATHS:
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "_shim"):
        module._shim.core()
print((time.perf_counter() - begun) * 1e3)
"""


def spread(values):
    """Median and the middle half's width of a list of numbers."""
    quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": statistics.median(values), "spread": quarters[2] - quarters[0]}


class Report:
    """The table's rows and the ratios, printed as they come."""

    def __init__(self):
        self.rows, self.ratios, self.notes = [], [], []

    def head(self):
        """The table's first line."""
        print(
            f"{'':34} {'median':>11} {'spread':>9} {'calls':>6} {'processes':>9} {'peak RSS':>10}",
            flush=True,
        )

    def row(self, what, unit, time, *, calls=None, processes=None, rss=None):
        """One line: time is a spread; what was not counted is left empty."""
        self.rows.append(
            {"what": what, "unit": unit, **time, "calls": calls, "processes": processes, "rss": rss}
        )
        digits = 0 if unit == "us" else 2
        cells = ("" if one is None else one for one in (calls, processes))
        kb = "" if rss is None else f"{rss} kB"
        print(
            f"{what:34} {time['median']:8.{digits}f} {unit:2} {time['spread']:9.{digits}f} "
            "{:>6} {:>9} ".format(*cells)
            + f"{kb:>10}",
            flush=True,
        )

    def ratio(self, what, value, limit, unit="", *, below=False):
        """A number that has to be at most (or below) a limit."""
        met = value < limit if below else value <= limit
        self.ratios.append({"what": what, "value": value, "limit": limit, "met": met})

    def note(self, text):
        """A sentence to go with the ratios."""
        self.notes.append(text)

    def say(self):
        """All ratios, and which of them is met."""
        print()
        for one in self.ratios:
            verdict = "met" if one["met"] else "MISSED"
            print(f"{one['what']:62} {one['value']:8.2f}  of {one['limit']:<6g} {verdict}")
        for text in self.notes:
            print(text)


def run_ahead(pid):
    """Let a process, and what it starts from now on, run before all other programs: who else uses
    the machine must not decide which of two measurements waits. False where that is not allowed."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except (AttributeError, OSError):
        return False
    return True


def run_beside(pid):
    """Back among all other programs, which must not starve where nothing is timed."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def core(binary, socket, qube, rounds):
    """(a), (a') and (b) in microseconds, and the peak RSS of the process that measured."""
    process = subprocess.Popen(
        [str(binary), socket, qube, str(rounds), "times"],
        stdout=subprocess.PIPE,
        text=True,
    )
    run_ahead(process.pid)
    lines = process.stdout.read().splitlines()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{binary.name} failed: {status}")
    columns = zip(*(map(float, line.split()) for line in lines), strict=True)
    figures = dict(zip(("a", "a'", "b"), map(spread, columns), strict=True))
    return {**figures, "rss": usage.ru_maxrss}


def leak(binary, socket, qube, rounds):
    """Growth of the resident set in kB over rounds of the plan, after the first tenth."""
    command = [str(binary), socket, qube, str(rounds), "leak"]
    early, late = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(late) - int(early)


def loading(rounds):
    """Milliseconds for all shims and the extension in a fresh process that has Salt's loader."""
    folder = ROOT / "salt_ext"
    paths = sorted(
        str(path) for path in folder.glob("*/[a-z]*.py") if path.parent.name != "sandbox"
    )
    code = LOADING.replace("PATHS", repr(paths))
    command, runs = [sys.executable, "-c", code], []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(rounds + 1):
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=environment
            ) as process:
                run_ahead(process.pid)
                runs.append(float(process.stdout.read()))
    return spread(runs[1:])  # the first one has made the byte code


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
        self.command = [
            str(Path(sys.executable).with_name("salt-call")), "--local", "-c", str(folder),
            "-l", "quiet", "--out", "json", "state.apply", "t",
        ]  # fmt: skip

    def write(self, states):
        """The states that the next runs apply."""
        (self.folder / "srv" / "t.sls").write_text(
            "#!yaml\n" + yaml.safe_dump(states, sort_keys=False), "utf-8"
        )

    def apply(self, states):
        """Apply a mapping of states with a real salt-call: seconds, CPU seconds, peak RSS in kB."""
        self.write(states)
        with tempfile.TemporaryFile() as output:
            begun = time.monotonic()
            process = subprocess.Popen(
                self.command, stdout=output, stderr=subprocess.DEVNULL, env=self.environment
            )
            run_ahead(process.pid)
            _pid, _status, usage = os.wait4(process.pid, 0)
            process.returncode = 0
            seconds = time.monotonic() - begun
            output.seek(0)
            answer = json.load(output)["local"]
        if not isinstance(answer, dict):
            sys.exit(f"Salt refused the states: {answer}")
        wrong = [state for state in answer.values() if state["result"] is not True]
        if wrong:
            sys.exit(f"a state did not succeed: {wrong[0]['comment']}")
        changed = sum(bool(state["changes"]) for state in answer.values())
        cpu = usage.ru_utime + usage.ru_stime
        return {"seconds": seconds, "cpu": cpu, "rss": usage.ru_maxrss, "changed": changed}

    def resident(self, states):
        """Peak RSS in kB of a run that prints nothing: what is printed Salt holds as text twice more,
        which is not what a state costs."""
        self.write(states)
        command = ["quiet" if word == "json" else word for word in self.command]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=self.environment)
        run_ahead(process.pid)
        _pid, process.returncode, usage = os.wait4(process.pid, 0)
        return usage.ru_maxrss

    def processes(self, states):
        """How many processes a run starts to run a program, Salt's own included; None without strace."""
        if not shutil.which("strace"):
            return None
        self.write(states)
        trace = self.folder / "trace"
        words = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=execve", "-o", str(trace)]
        process = subprocess.Popen(
            [*words, *self.command], stdout=subprocess.DEVNULL, env=self.environment
        )
        if process.wait():
            sys.exit("a run under strace failed")
        begun = [line for line in trace.read_text("utf-8").splitlines() if line.endswith("= 0")]
        return len(begun) - 1  # less salt-call itself


def guide_states(function, count):
    """The guide's state for so many qubes: ``qvm.vm``, or ``test.nop`` with the very same words."""
    items = [{key: value} for key, value in GUIDE_STATE.items()]
    return {f"s{i}": {function: [{"name": f"q-{i}"}, *items]} for i in range(1, count + 1)}


def changing(count):
    """So many states of every kind of change: lives of qubes, from their creation to their end."""
    kinds = [
        ("qvm.present", "n", [{"template": "fedora-41-xfce"}, {"label": "red"}]),
        ("qvm.prefs", "n", [{"memory": 1000}, {"vcpus": 3}, {"label": "blue"}]),
        ("qvm.features", "n", [{"set": [{"x": "y"}]}]),
        ("qvm.service", "n", [{"enable": ["cups"]}]),
        ("qvm.tags", "n", [{"add": ["t"]}]),
        ("qvm.firewall", "n", [{"set": ["action=accept dsthost=example.org"]}]),
        ("qvm.devices", "n", [{"attach": ["pci:dom0:00_14.0"]}]),
        ("qvm.clone", "k", "n"),
        ("qvm.start", "k", []),
        ("qvm.shutdown", "k", []),
        ("qvm.absent", "k", []),
        ("qvm.absent", "n", []),
    ]
    states = {}
    for i in range(count):
        life, step = divmod(i, len(kinds))
        function, letter, body = kinds[step]
        items = [{"source": f"n-{life}"}] if body == "n" else body
        states[f"c{i}"] = {function: [{"name": f"{letter}-{life}"}, *items]}
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


def compare(minion, sandbox, count, repeat):
    """(c) for one number of qubes: both kinds in turn, each first as often as the other."""
    functions = {"nop": "test.nop", "ours": "qvm.vm"}
    runs = {kind: [] for kind in functions}
    run_ahead(sandbox.process.pid)
    for turn in range(repeat):
        for kind in sorted(functions, reverse=bool(turn % 2)):
            sandbox.clear_log()
            runs[kind].append(minion.apply(guide_states(functions[kind], count)))
            if kind == "ours":
                calls = len(sandbox.log())
    run_beside(sandbox.process.pid)
    pairs = zip(runs["ours"], runs["nop"], strict=True)
    above = spread([(ours["seconds"] - nop["seconds"]) / count * 1e3 for ours, nop in pairs])
    return {
        "qubes": count,
        "calls": calls,
        "seconds": {kind: spread([run["seconds"] for run in each]) for kind, each in runs.items()},
        "rss": {
            kind: int(statistics.median(run["rss"] for run in each)) for kind, each in runs.items()
        },
        "processes": {
            kind: minion.processes(guide_states(name, count)) for kind, name in functions.items()
        },
        "above_ms": above,
    }


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


def core_part(report, options, socket, qube):
    """(a), (a'), (b): rows and ratios."""
    figures = core(options.binary, socket, qube, options.rounds)
    for key, label in (("a", "(a)  three calls in turn"), ("a'", "(a') the same at once"),
                       ("b", "(b)  the core's whole plan")):  # fmt: skip
        report.row(label, "us", figures[key], calls=3, processes=0, rss=figures["rss"])
    plan = figures["b"]["median"]
    report.ratio(
        "(b)/(a): the plan to its calls in turn", plan / figures["a"]["median"], 1, below=True
    )
    report.ratio("(b)/(a'): the plan to its calls at once", plan / figures["a'"]["median"], 1.1)
    return figures


def salt_part(report, options, minion, sandbox, floor_us):
    """(c): rows and ratios."""
    rows = []
    for count in [count for count in COUNTS if count <= options.most]:
        row = compare(minion, sandbox, count, options.repeat)
        rows.append(row)
        for kind, label, calls in (
            ("nop", "test.nop", 0),
            ("ours", "unchanged qubes", row["calls"]),
        ):
            report.row(
                f"(c)  salt-call, {count} {label}", "s", row["seconds"][kind], calls=calls,
                processes=row["processes"][kind], rss=row["rss"][kind],
            )  # fmt: skip
    first, last = rows[0], rows[-1]
    states = last["qubes"]
    report.ratio(
        f"(c) of {states}: ms a state above test.nop and (a')",
        last["above_ms"]["median"] - floor_us / 1e3, 1.5,
    )  # fmt: skip
    run_ahead(sandbox.process.pid)
    grown = []
    for count in (first["qubes"], states):
        functions = {"nop": "test.nop", "ours": "qvm.vm"}
        runs = {kind: [] for kind in functions}
        for _ in range(options.residents):
            for kind, name in functions.items():
                runs[kind].append(minion.resident(guide_states(name, count)))
        median = {kind: statistics.median(each) for kind, each in runs.items()}
        grown.append(median["ours"] - median["nop"])
    run_beside(sandbox.process.pid)
    report.ratio(f"(c) of {states}: growth of RSS beyond test.nop's, kB", grown[1] - grown[0], 1024)
    printed = [row["rss"]["ours"] - row["rss"]["nop"] for row in (first, last)]
    report.note(
        f"The last one is of runs that print nothing. Printed as JSON it is {printed[1] - printed[0]}"
        " kB:\nSalt then holds every comment as text twice more."
    )
    return rows


def writing_part(report, minion, sandbox, count):
    """(d) and (e)."""
    figures = {}
    guide = [{key: value} for key, value in GUIDE_STATE.items()]
    for key, label, states in (
        ("first", "(d)  first creation", {"new": {"qvm.vm": [{"name": "new"}, *guide]}}),
        ("changing", f"(e)  {count} states that change", changing(count)),
    ):
        sandbox.reset()
        run = minion.apply(states)
        if run["changed"] != len(states):
            sys.exit(f"{label}: {run['changed']} of {len(states)} states changed something")
        run["calls"], run["writing"] = len(sandbox.log()), len(sandbox.writing_calls())
        sandbox.reset()
        run["processes"] = minion.processes(states)
        report.row(
            label, "s", {"median": run["seconds"], "spread": 0.0},
            calls=run["calls"], processes=run["processes"], rss=run["rss"],
        )  # fmt: skip
        figures[key] = run
    return figures


def against_sandbox(report, options, folder):
    """All parts against the embedded daemon."""
    most = min(options.most, COUNTS[-1])
    with Sandbox(machine(most), folder=folder / "sandbox", root=True, state=False) as sandbox:
        sandbox.snapshot()
        (folder / "minion").mkdir()
        minion = Minion(folder / "minion", sandbox.socket, sandbox.root)
        daemon = sandbox.process.pid
        if not run_ahead(daemon):
            print("SCHED_FIFO is not allowed here: other programs are in these figures, too")
        result = {"core": core_part(report, options, sandbox.socket, "q-1")}
        floor = result["core"]["a'"]["median"]
        run_beside(daemon)
        result["leak_kb"] = leak(options.binary, sandbox.socket, "q-1", options.leak)
        # The order in which answers come moves the heap's top by a page now and then, and only that.
        report.ratio(
            f"{options.leak} plans of the core: growth of RSS, kB", result["leak_kb"], FEW_PAGES_KB
        )
        result["loading_ms"] = loading(options.loads)
        report.row(
            "     loading shims and extension", "ms", result["loading_ms"], calls=0, processes=0
        )
        report.ratio(
            "loading shims and extension, ms", result["loading_ms"]["median"], 5, below=True
        )
        result["salt"] = salt_part(report, options, minion, sandbox, floor)
        result |= writing_part(report, minion, sandbox, most)
    return result


def main():
    """Parse the command line, run, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the compiled bench/core.c")
    parser.add_argument("--quick", action="store_true", help="a short look: few rounds, 50 qubes")
    parser.add_argument("--rounds", type=int, help="of (a), (a') and (b)")
    parser.add_argument("--leak", type=int, help="plans for the resident set")
    parser.add_argument("--repeat", type=int, help="of each pair in (c)")
    parser.add_argument("--most", type=int, help="most qubes in (c) and (e)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--qube", default="fedora-40-nvidia", help="with QUBESD_SOCKET: which qube")
    options = parser.parse_args()
    usual = (400, 5000, 2, 50, 5, 2) if options.quick else (3000, 100_000, 5, 1000, 15, 7)
    names = ("rounds", "leak", "repeat", "most", "loads", "residents")
    for name, value in zip(names, usual, strict=True):
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no daemon is left behind
    report = Report()
    report.head()
    socket = os.environ.get("QUBESD_SOCKET")
    if socket:
        result = {"core": core_part(report, options, socket, options.qube)}
    else:
        folder = Path(tempfile.mkdtemp(prefix="qvm-gpu-bench-"))
        try:
            result = against_sandbox(report, options, folder)
        finally:
            shutil.rmtree(folder)
    report.say()
    if "salt" in result:
        draw(result["salt"], result["core"]["a'"]["median"], options.out / "cost.png")
    result |= {"rows": report.rows, "ratios": report.ratios, "notes": report.notes}
    result["machine"] = (
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    )
    (options.out / "bench.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"figures: {options.out / 'bench.json'}")


if __name__ == "__main__":
    main()
