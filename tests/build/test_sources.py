# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of the sources, and the tools that say so: a tool that cannot fail says nothing."""

import subprocess
import sys

import pytest

CODE = (".c", ".h", ".py", ".toml", ".sls", ".jinja", ".yaml", ".yml", ".spec", ".conf")


@pytest.fixture
def tracked(root):
    names = subprocess.check_output(["git", "ls-files"], cwd=root, text=True).splitlines()
    return [root / name for name in names if (root / name).is_file()]


def test_each_file_names_its_licence(root, tracked):
    scripts = [root / "Makefile", root / "CMakeLists.txt", root / ".ci" / "run"]
    scripts += [path for path in (root / "tools").iterdir() if not path.suffix and path.is_file()]
    data = root / "tests" / "data"
    files = [p for p in tracked if p.suffix in CODE and data not in p.parents]
    for path in [*files, *scripts]:
        head = path.read_text(encoding="utf-8").splitlines()[:3]
        assert any("SPDX-License-Identifier: GPL-3.0-or-later" in line for line in head), path


def layers(root, csrc):
    argv = [sys.executable, root / "tools" / "check_layers.py", csrc]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_layers_look_downwards(root):
    done = layers(root, root / "csrc")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("folder", "line", "wrong"),
    [
        ("base", '#include "doc/value.h"', "base/ may not look at doc/"),
        ("host", '# include  "wire/name.h"', "host/ may not look at wire/"),
        ("qvm", '#include "gpu/map.h"', "qvm/ may not look at gpu/"),
        ("net", "#include <yaml.h>", "<yaml.h> belongs to doc/ alone"),
        ("plan", "#include <Python.h>", "<Python.h> belongs to py/ alone"),
        ("wire", '#include "name.h"', '"name.h" names no folder'),
        ("extra", "", "the folder extra/ has no place"),
    ],
)
def test_an_upward_look_is_seen(root, tmp_path, folder, line, wrong):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.c").write_text(f'#include <stdio.h>\n#include "{folder}/a.h"\n{line}\n')
    done = layers(root, tmp_path)
    assert done.returncode == 1
    assert wrong in done.stdout


def calls(root, csrc):
    argv = [sys.executable, root / "tools" / "check_calls.py", csrc]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_the_core_calls_what_it_may(root):
    done = calls(root, root / "csrc")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("path", "line", "wrong"),
    [
        ("host/run.c", "system(text);", "system() is not called here"),
        ("wire/name.c", "strcpy (out, name);", "strcpy() is not called here"),
        ("doc/yaml.c", 'int fd = openat(dir, "x", O_CLOEXEC | O_NOFOLLOW);', "openat() belongs to"),
        ("gpu/card.c", "if (!fork())", "fork() belongs to host/run.c, nvidia/nvml.c"),
        ("host/file.c", "openat(dir, name,\n O_RDONLY | O_NOFOLLOW)", "without O_CLOEXEC"),
        ("host/file.c", "openat(dir, name(1), O_CLOEXEC | O_PATH)", "without O_NOFOLLOW"),
        ("host/run.c", "open(path, O_RDWR)", "open() without O_CLOEXEC"),
        ("net/transport.c", "socket(AF_UNIX, SOCK_STREAM, 0)", "without SOCK_CLOEXEC"),
        ("host/run.c", "pipe(ends)", "pipe() without pipe2"),
    ],
)
def test_a_call_that_may_not_be_is_seen(root, tmp_path, path, line, wrong):
    file = tmp_path / path
    file.parent.mkdir()
    file.write_text(f'/* system(x) */\nconst char *t = "fork()";\n{line}\n', "utf-8")
    done = calls(root, tmp_path)
    assert done.returncode == 1
    (told,) = done.stdout.splitlines()
    assert told.startswith(f"{file}:3: ") and wrong in told


def test_calls_that_may_be_are_not_complained_of(root, tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "file.c").write_text(
        'int a = openat(dir, ".", O_RDONLY | O_CLOEXEC);\nout->open(x);\nreopen(x); // exit(1)\n',
        "utf-8",
    )
    done = calls(root, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "content", [b"", b"a: 1\n", b'"quoted" \\ ??= %d \xe2\x82\xac\x01\r\n7', bytes(range(256)) * 20]
)
def test_embedded_bytes_come_back(root, tmp_path, content):
    (tmp_path / "in.yaml").write_bytes(content)
    made = tmp_path / "in_yaml.c"
    embed = [sys.executable, root / "csrc/embed.py", tmp_path / "in.yaml", made, "qg_in"]
    subprocess.run(embed, check=True)
    before = made.stat().st_mtime_ns
    subprocess.run(embed, check=True)
    assert made.stat().st_mtime_ns == before, "rewritten without need"
    (tmp_path / "main.c").write_text(
        '#include "in_yaml.h"\n#include <stdio.h>\n'
        "int main(void) { return fwrite(qg_in, 1, qg_in_length, stdout) != qg_in_length; }\n"
    )
    argv = ["gcc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "main"]
    subprocess.run([*argv, made, tmp_path / "main.c"], check=True)
    assert subprocess.check_output([tmp_path / "main"]) == content


def test_a_missing_library_is_named(root, tmp_path):
    """The build says what to install; the compiler is not even asked."""
    fake = tmp_path / "pkg-config"
    fake.write_text("#!/bin/sh\ncase $* in *modversion*) echo 0.0.1;; *) exit 1;; esac\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", tmp_path],
        cwd=root,
        check=False, capture_output=True, text=True, env={"PKG_CONFIG": fake, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "yaml-0.1 0.2.1 or newer is needed" in done.stderr
    assert "found 0.0.1" in done.stderr and "libyaml-dev" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_in_one_place(root):
    said = subprocess.check_output([sys.executable, "setup.py", "-q", "--version"], cwd=root)
    assert f'__version__ = "{said.decode().strip()}"' in (root / "salt_ext/__init__.py").read_text()


def test_help_names_every_target_that_is_promised(root):
    text = subprocess.check_output(["make", "-s", "help"], cwd=root, text=True)
    for target in (
        "demo",
        "check",
        "bench",
        "fuzz",
        "lint",
        "beds",
        "srv",
        "help",
        "wheel",
        "package",
    ):
        assert f"  {target} " in text
