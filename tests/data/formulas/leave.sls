# SPDX-License-Identifier: GPL-3.0-or-later
# Stopping and removing: several at once, what is not there, and words for failures.
sys-firewall-shutdown:
  qvm.shutdown:
    - name: sys-firewall
    - flags: [wait, force]

personal-shutdown:
  qvm.shutdown:
    - name: personal
    - flags:
      - wait

work-shutdown:
  qvm.shutdown:
    - name: work

default-dvm-shutdown:
  qvm.shutdown:
    - name: default-dvm
    - flags: [force]

old-dispvms:
  qvm.absent:
    - names:
      - dvm-one
      - dvm-two
      - dvm-never-there

old-qube:
  qvm.absent:
    - name: old-qube

tidy:
  qvm.vm:
    - names: [work, personal]
    - tags:
      - del: [created-by-nobody]
    - halted: []
    - exists: []
    - missing: []
    - actions:
      - tags
      - exists
      - missing: pass
      - halted
