# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a tiny kernel module file: an ELF object that holds nothing but a `.modinfo` section.

`modinfo`, `depmod` and our own reader look at that section only, so a file of some hundred bytes
stands for the driver's module.  The field order is the one that real nvidia.ko files have.
"""

from __future__ import annotations

import argparse
import gzip
import lzma
import struct
import sys
from pathlib import Path

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SHT_PROGBITS, _SHT_STRTAB, _SHF_ALLOC = 1, 3, 2


def modinfo_fields(
    name: str = "nvidia", version: str = "550.90.07", kernel: str = "", *, open_module: bool = True
) -> list[tuple[str, str]]:
    """Return the fields of an NVIDIA module's `.modinfo` section, in their usual order."""
    fields = [
        ("version", version),
        ("supported", "external"),
        ("license", "Dual MIT/GPL" if open_module else "NVIDIA"),
        ("srcversion", "1B8F3B6F0A2C0B6D5E7A9C1"),
        ("alias", "pci:v000010DEd*sv*sd*bc03sc00i00*"),
        ("depends", ""),
        ("retpoline", "Y"),
        ("name", name),
    ]
    if kernel:
        fields.append(("vermagic", f"{kernel} SMP preempt mod_unload "))
    return fields


def build_ko(fields: list[tuple[str, str]]) -> bytes:
    """Return a relocatable x86-64 ELF object with these `key=value` strings in `.modinfo`."""
    modinfo = b"".join(f"{key}={value}".encode() + b"\0" for key, value in fields)
    names = b"\0.modinfo\0.shstrtab\0"
    modinfo_at = _EHDR.size
    names_at = modinfo_at + len(modinfo)
    headers_at = (names_at + len(names) + 7) & ~7
    header = _EHDR.pack(
        b"\x7fELF\x02\x01\x01" + bytes(9), 1, 62, 1, 0, 0, headers_at, 0, _EHDR.size, 0, 0,
        _SHDR.size, 3, 2,
    )  # fmt: skip
    sections = (
        bytes(_SHDR.size)
        + _SHDR.pack(1, _SHT_PROGBITS, _SHF_ALLOC, 0, modinfo_at, len(modinfo), 0, 0, 1, 0)
        + _SHDR.pack(10, _SHT_STRTAB, 0, 0, names_at, len(names), 0, 0, 1, 0)
    )
    body = header + modinfo + names
    return body + bytes(headers_at - len(body)) + sections


def pack(data: bytes, suffix: str) -> bytes:
    """Compress like the kernel's build does for files ending in `suffix` (.ko, .gz, .xz)."""
    if suffix == ".xz":
        return lzma.compress(data, check=lzma.CHECK_CRC32)
    if suffix == ".gz":
        return gzip.compress(data, mtime=0)
    return data


def write_ko(
    path: Path, name: str, version: str, kernel: str = "", *, open_module: bool = True
) -> None:
    """Write a module file; its compression follows from the suffix of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = modinfo_fields(name, version, kernel, open_module=open_module)
    path.write_bytes(pack(build_ko(fields), path.suffix))


def main() -> int:
    """Command line: `ko.py PATH [--name N] [--version V] [--kernel K] [--proprietary]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", default="nvidia")
    parser.add_argument("--version", default="550.90.07")
    parser.add_argument("--kernel", default="")
    parser.add_argument("--proprietary", action="store_true")
    args = parser.parse_args()
    write_ko(args.path, args.name, args.version, args.kernel, open_module=not args.proprietary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
