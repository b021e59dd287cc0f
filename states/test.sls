# SPDX-License-Identifier: GPL-3.0-or-later
# A harmless check that Salt, the extension and qubesd answer: dom0 is always there.
qvm-gpu--answers:
  qvm.exists:
    - name: dom0
