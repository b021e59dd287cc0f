# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages where they are installed: their scripts run, and removal leaves what was there."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.beds.beds import Bed, BedUnavailable

pytestmark = pytest.mark.slow_bed

EXTENSION = "srv/formulas/base/qvm-gpu/_modules/_qvm_gpu_core.abi3.so"
CONF = "etc/salt/minion.d/qvm-gpu.conf"
# Folders above our files belong to salt and to Qubes' formulas; rpm leaves them, dpkg where empty
# does not.
SHARED = {
    "etc/salt",
    "etc/salt/minion.d",
    "srv/formulas",
    "srv/formulas/base",
    "usr/share/licenses",
}
# Stands in for Salt: what it was asked, and what there was for it to sync at that time.
SALT_CALL = f"""#!/bin/sh
test -e /{EXTENSION} && there=there || there=gone
echo "$there $*" >>/tmp/salt-calls
exit 1
"""
SYNC = "--local --out=quiet saltutil.sync_all saltenv=base"
WAYS = {
    "fedora41": (["rpm", "-i", "--nodeps", "--nosignature"], ["rpm", "-e", "salt-qvm-gpu"]),
    "debian12": (["dpkg", "--force-depends", "-i"], ["dpkg", "-P", "salt-qvm-gpu"]),
}


@pytest.fixture(params=WAYS)
def bed(request):
    try:
        with Bed(request.param) as bed:
            yield request.param, bed
    except BedUnavailable as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("with_salt", [True, False])
def test_installation_syncs_and_removal_cleans(packages, bed, with_salt):
    name, bed = bed
    _, rpm, deb = packages
    install, remove = WAYS[name]
    root = Path(bed.root)
    package = rpm if name.startswith("fedora") else deb
    shutil.copy(package, root / "tmp" / package.name)
    calls = root / "tmp" / "salt-calls"
    if with_salt:
        salt_call = root / "usr" / "bin" / "salt-call"
        salt_call.write_text(SALT_CALL)
        salt_call.chmod(0o755)
    # The package databases' own files, and where each keeps what it did.
    own = ("var/lib/rpm", "usr/lib/sysimage", "var/lib/dpkg", "var/log")
    before = bed.hash_tree(exclude=own)
    # A failing salt-call, as above, is no failed installation.
    bed.run([*install, f"/tmp/{package.name}"])
    assert (root / EXTENSION).exists() and (root / CONF).exists()
    bed.run(remove)
    assert not (root / EXTENSION).exists() and not (root / CONF).exists()
    after = bed.hash_tree(exclude=own)
    assert after.keys() - before.keys() <= SHARED
    assert before.keys() <= after.keys()
    seen = calls.read_text().splitlines() if calls.exists() else []
    assert seen == ([f"there {SYNC}", f"gone {SYNC}"] if with_salt else [])
