# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks which functions of the C library the core calls, and where.

What nobody may call, what one file alone may call, and what each call that makes a descriptor has to
say. So text that came from outside is parsed by code that cannot open, send or start anything.
Prints each call that breaks a rule; exits 1 if there is one.
"""

import re
import sys
from pathlib import Path

# No bounds, no thread safety, a shell, a name that can be guessed, the library's own end or words.
WORDS = """
    gets strcpy strcat stpcpy sprintf vsprintf strtok atoi atol atoll atof scanf sscanf fscanf alloca
    system popen execl execlp execle execv execvp execvpe vfork clone daemon
    tmpnam tempnam mktemp tmpfile getenv setenv putenv unsetenv secure_getenv
    exit abort assert printf puts putchar perror fprintf fputs vprintf setlocale signal sigset
    rand srand random localtime gmtime ctime asctime strerror readdir_r getpwnam getpwuid getgrnam
    access chown chmod lchown rename unlink rmdir mkdir mknod link symlink truncate stat lstat
    creat fopen freopen opendir dup setuid setgid seteuid setegid setreuid setregid
"""
NEVER = set(WORDS.split())

RUN, FILE, PLACE = "host/run.c", "host/file.c", "host/place.c"
SOCKETS, NVML = "net/transport.c", "nvidia/nvml.c"
ONLY_IN = {
    "open": {PLACE, RUN},  # the root, /dev/null
    "openat": {PLACE, FILE},
    "readlinkat": {PLACE, FILE},
    "fdopendir": {FILE},
    "fstatat": {FILE, RUN},
    "unlinkat": {FILE},
    "renameat": {FILE},
    "mkdirat": {FILE},
    "fchmod": {FILE},
    "fchown": {FILE},
    "socket": {SOCKETS},
    "socketpair": {SOCKETS},
    "connect": {SOCKETS},
    "send": {SOCKETS},
    "recv": {SOCKETS},
    "posix_spawn": set(),
    "posix_spawnp": {SOCKETS},
    "fork": {RUN, NVML},
    "execve": {RUN},
    "chroot": {RUN},
    "dup2": {RUN},
    "syscall": {RUN},
    "kill": {RUN, SOCKETS, NVML},
    "dlopen": {NVML},
    "dlsym": {NVML},
    "_exit": {RUN, NVML},
}

# Every descriptor is closed in a child that starts a program; no link is followed unseen.
SAYS = {
    "open": "O_CLOEXEC",
    "openat": "O_CLOEXEC O_NOFOLLOW",
    "socket": "SOCK_CLOEXEC",
    "socketpair": "SOCK_CLOEXEC",
    "pipe2": "O_CLOEXEC",
    "pipe": "pipe2",
    "accept": "accept4",
}

NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
CALL = re.compile(r"(?<![\w.>])([a-z_]\w*)\s*\(")


def blanked(found):
    """Newlines stay, and so does whether a text is "."; nothing else is code."""
    text = found[0]
    return '"."' if text == '"."' else re.sub(r"[^\n]", " ", text)


def arguments(code, at):
    """The text between the brackets that open at `at`."""
    depth = 0
    for end in range(at, len(code)):
        depth += (code[end] == "(") - (code[end] == ")")
        if depth == 0:
            return code[at:end]
    return code[at:]


def complaint(name, where, words):
    """What is wrong with one call; None where nothing is."""
    if name in NEVER:
        return f"{name}() is not called here"
    if where not in ONLY_IN.get(name, {where}):
        return f"{name}() belongs to {', '.join(sorted(ONLY_IN[name])) or 'nobody'}"
    missing = [word for word in SAYS.get(name, "").split() if word not in words]
    if name == "openat" and '"."' in words and missing == ["O_NOFOLLOW"]:
        return None
    return f"{name}() without {' and '.join(missing)}" if missing else None


def main(csrc):
    failed = False
    for path in sorted(csrc.glob("*/*.[ch]")):
        code = NOT_CODE.sub(blanked, path.read_text(encoding="utf-8"))
        where = f"{path.parent.name}/{path.name}"
        for found in CALL.finditer(code):
            wrong = complaint(found[1], where, arguments(code, found.end() - 1))
            if wrong:
                print(f"{path}:{code.count(chr(10), 0, found.start()) + 1}: {wrong}")
                failed = True
    return int(failed)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "csrc"
    sys.exit(main(folder))
