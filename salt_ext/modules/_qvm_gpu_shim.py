# SPDX-License-Identifier: GPL-3.0-or-later
"""What the execution modules beside this file share: the C core, a run of it, and its answers.

Salt's loader skips files that begin with an underscore, ``saltutil.sync_all`` and salt-ssh carry
them. So this file is loaded from its own folder, in an installed package, in synced extension
modules and in a salt-ssh target alike.
"""

import importlib
import importlib.machinery
import importlib.util
import logging
import os
import platform
import struct
import sys

from salt.exceptions import CommandExecutionError, SaltInvocationError

log = logging.getLogger(__name__)

DEFAULT_SOCKET = "/run/qubesd.sock"
_CORE = "_qvm_gpu_core"  # its name where it travels as a single file
_RUN_KEY = "qvm_gpu.run"
_ELF_HEADER = struct.Struct("<4s14xH20xQ10xHHH")  # magic, machine, then where the sections are
_ELF_MACHINES = {3: "i686", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


class CoreMissing(ImportError):
    """The extension cannot be loaded here; the text says what was found and what to do."""


def core():
    """The extension module, loaded once per process and shared through ``sys.modules``."""
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{_CORE}.abi3.so")
    if not os.path.exists(beside):
        return _installed_core(beside)
    known = sys.modules.get(_CORE)
    if known is not None and known.__file__ == beside:
        return known
    unfit = _why_unfit(beside)
    if unfit:
        raise CoreMissing(_reason(f"{beside} {unfit}"))
    loader = importlib.machinery.ExtensionFileLoader(_CORE, beside)
    try:
        module = importlib.util.module_from_spec(
            importlib.util.spec_from_file_location(_CORE, beside, loader=loader)
        )
        loader.exec_module(module)
    except ImportError as problem:
        raise CoreMissing(_reason(f"{beside} cannot be loaded: {problem}")) from problem
    sys.modules[_CORE] = module
    return module


def _why_unfit(path):
    """What keeps this machine from loading the file, where the dynamic linker would not tell.

    A file that was cut off while it was copied would end the process (SIGBUS), and one of another
    architecture is "No such file or directory" to it.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_ELF_HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    if len(head) < _ELF_HEADER.size:
        return f"is cut off: it has {size} bytes"
    magic, machine, sections, each, count, _ = _ELF_HEADER.unpack(head)
    if magic != b"\x7fELF":
        return "is not a shared library"
    built_for = _ELF_MACHINES.get(machine, f"ELF machine {machine}")
    if built_for != platform.machine() and platform.machine() in _ELF_MACHINES.values():
        return f"is built for {built_for}"
    needed = sections + each * count  # the section headers come last in a file
    return f"is cut off: it has {size} bytes of {needed}" if size < needed else None


def _installed_core(beside):
    try:
        return importlib.import_module("saltext.qvm_gpu._core")
    except ImportError as problem:
        found = f"there is no {os.path.basename(beside)} in {os.path.dirname(beside)}"
        raise CoreMissing(_reason(f"{found}, and no installed package ({problem})")) from problem


def _reason(what):
    return (
        f"qvm_gpu's extension is not usable on this {platform.machine()} machine with Python "
        f"{platform.python_version()} and {' '.join(platform.libc_ver()) or 'an unknown libc'}: "
        f"{what}. Copy build/srv again, or build it for this machine with `make srv` "
        "(it needs x86_64 or the machine it was built on, Python 3.10, glibc 2.34)."
    )


def why_not():
    """None where the extension loads, else the reason for ``__virtual__``.

    It is logged, too: to a template that calls a function which did not load Salt tells no reason.
    """
    try:
        core()
    except CoreMissing as problem:
        log.error("%s", problem)
        return str(problem)
    return None


def refuse(loader, name, reason, files):
    """What ``__virtual__`` of a file that is not called ``name`` returns with its reason.

    Salt keeps the reason under the file's name, and tells it only to those who ask for that. So it
    is put under ``name``, too, unless a file that is none of ours may still answer for it.
    """
    known = getattr(loader, "missing_modules", None)
    if known is not None and not [f for f in loader.file_mapping if name in f and f not in files]:
        known.setdefault(name, reason)
    return False, reason


def _option(opts, pillar, name):
    """``qvm_gpu:NAME`` of the minion's configuration or the pillar; None where neither has it."""
    for source in (opts, pillar):
        section = source.get("qvm_gpu") if source else None
        if isinstance(section, dict) and section.get(name) is not None:
            return section[name]
    return opts.get(f"qvm_gpu:{name}")


def why_no_qubesd(opts, pillar):
    """None where qubesd may be reached from here, else the reason. Opens nothing."""
    if os.environ.get("QUBESD_SOCKET") or _option(opts, pillar, "qubesd_socket"):
        return None
    if _option(opts, pillar, "transport") == "qrexec" or os.path.exists(DEFAULT_SOCKET):
        return None
    return (
        f"qvm works in dom0 only: there is no {DEFAULT_SOCKET}, and neither QUBESD_SOCKET nor the "
        "option qvm_gpu:qubesd_socket names another socket"
    )


def why_given_back(opts, pillar):
    """None where ours answers for ``qvm``, else the reason (``qvm_gpu:replace_qvm: false``)."""
    if _option(opts, pillar, "replace_qvm") is False:
        return "qvm_gpu:replace_qvm is false: qvm is left to another module"
    return None


def _wrong(name, value, right):
    """No SaltInvocationError: to that salt-call shows how the function is called."""
    return CommandExecutionError(f"{name} is {value!a}: {right} expected")


def _seconds(value):
    """A timeout from configuration or pillar; Jinja makes text of numbers."""
    try:
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if 0 <= seconds <= 86400:
        return seconds
    raise _wrong("qvm_gpu:timeout", value, "seconds from 0 to 86400 are")


def _path(value):
    if value is None or (isinstance(value, str) and value and "\0" not in value):
        return value
    raise _wrong("qvm_gpu:qubesd_socket", value, "a socket's path is")


def new_run(opts, pillar):
    """A fresh Run of the core, set up from environment, configuration and pillar."""
    timeout = _seconds(_option(opts, pillar, "timeout") or 0)
    cache = opts.get("cachedir")
    root = os.environ.get("QVM_GPU_ROOT")
    if root and not os.path.isdir(root):
        raise _wrong("QVM_GPU_ROOT", root, "a folder that is there is")
    return core().Run(
        socket=os.environ.get("QUBESD_SOCKET") or _path(_option(opts, pillar, "qubesd_socket")),
        qrexec=_option(opts, pillar, "transport") == "qrexec",
        root=root,
        record_dir=os.path.join(cache, "qvm_gpu") if cache else None,
        timeout=timeout,
        log=log.log,
    )


def state_run(opts, pillar, context):
    """The Run that the states of one Salt run share."""
    if _RUN_KEY not in context:
        context[_RUN_KEY] = new_run(opts, pillar)
    return context[_RUN_KEY]


def call(run, function, args, test):
    """The core's answer; what Salt's callers cannot pass becomes SaltInvocationError."""
    try:
        return run.call(function, args, bool(test))
    except (TypeError, ValueError, RecursionError) as problem:
        raise SaltInvocationError(f"{function}: {problem}") from problem


def state_answer(own, function, name, args, test):
    """Salt's state dict. Whatever goes wrong is in it: a state never ends in a traceback.

    own: ``__opts__``, ``__pillar__`` and ``__context__`` of the module that is asked.
    """
    try:
        answer = call(state_run(*own), function, args, test)
    except (CommandExecutionError, SaltInvocationError) as problem:
        return {"name": name, "result": False, "comment": str(problem), "changes": {}}
    except MemoryError:  # where something was done, the core says so as long as it can
        comment = f"{function}: out of memory"
        return {"name": name, "result": False, "comment": comment, "changes": {}}
    return {
        "name": name,
        "result": answer["result"],
        "comment": answer["comment"],
        "changes": answer["changes"],
    }


def data_answer(run, function, args, test=False):
    """An execution function's plain data; CommandExecutionError with the comment on failure."""
    answer = call(run, function, args, test)
    if answer["result"] is False:
        raise CommandExecutionError(answer["comment"])
    return answer["data"]


def public(kwargs):
    """The arguments without those that Salt adds for itself (``__pub_fun`` and the like)."""
    return {key: value for key, value in kwargs.items() if not str(key).startswith("__")}


class Status:
    """What ``qvm`` functions return in dom0; formulas call ``.passed()`` on it."""

    def __init__(
        self,
        name="",
        result=None,
        retcode=0,
        stdout="",
        stderr="",
        data=None,
        changes=None,
        comment="",
        prefix="",
        message="",
        error_message="",
    ):
        self.name = name
        self.result = result
        self.retcode = retcode
        self.stdout = stdout
        self.stderr = stderr
        self.data = data
        self.changes = {} if changes is None else changes
        self.comment = comment
        self.prefix = prefix
        self.message = message
        self.error_message = error_message

    def passed(self):
        """True unless it failed; a dry run that would change something has not."""
        return self.result if self.result is not None else self.retcode == 0

    def failed(self):
        """The opposite of :py:meth:`passed`."""
        return not self.passed()

    def __bool__(self):
        return bool(self.passed())

    def __repr__(self):
        return f"Status(name={self.name!r}, result={self.result!r}, comment={self.comment!r})"


def status_answer(run, function, args, test, public_call):
    """A Status; the plain dict of a command line where Salt was called from one."""
    answer = call(run, function, args, test)
    failed = answer["result"] is False
    status = Status(
        name=function,
        result=answer["result"],
        retcode=int(failed),
        stdout=answer["comment"],
        stderr=answer["comment"] if failed else "",
        data=answer["data"],
        changes=answer["changes"],
        comment=answer["comment"],
        error_message=answer["comment"] if failed else "",
    )
    if not public_call:
        return status
    return {"retcode": status.retcode, "stdout": status.stdout, "stderr": status.stderr}
