# SPDX-License-Identifier: GPL-3.0-or-later
# Matches dom0, where the qube is made. Add the qube itself to have the driver installed by a
# highstate: `qubesctl --targets=fedora-40-nvidia state.highstate`.
user:
  dom0:
    - nvidia-driver
