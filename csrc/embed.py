# SPDX-License-Identifier: GPL-3.0-or-later
"""embed.py INPUT OUTPUT.c SYMBOL: makes a C file and its header that hold INPUT's bytes.

Salt's sync ships modules, not the data beside them; so what a module needs to know is in it.
"""

import sys
from pathlib import Path

SOURCE = """/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Made by embed.py from {origin}. */
#include "{header}"

const char {symbol}[] =
{literal};
const size_t {symbol}_length = sizeof({symbol}) - 1;
"""

HEADER = """/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Made by embed.py from {origin}. */
#ifndef {guard}
#define {guard}

#include <stddef.h>

/* The file's bytes, NUL-terminated, and their number without that NUL. */
extern const char {symbol}[];
extern const size_t {symbol}_length;

#endif
"""


def quoted(line):
    plain = {ord(c): c for c in map(chr, range(32, 127)) if c not in '"\\?'}
    return '    "' + "".join(plain.get(byte, f"\\{byte:03o}") for byte in line) + '"'


def write_if_changed(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main(origin, source, symbol):
    header = source.with_suffix(".h")
    literal = "\n".join(quoted(line) for line in origin.read_bytes().splitlines(keepends=True))
    names = {
        "origin": origin.name,
        "header": header.name,
        "guard": f"QG_{header.stem.upper()}_H",
        "symbol": symbol,
        "literal": literal or '    ""',
    }
    write_if_changed(header, HEADER.format(**names))
    write_if_changed(source, SOURCE.format(**names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
