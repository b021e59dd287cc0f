# SPDX-License-Identifier: GPL-3.0-or-later
# A GUI qube and an audio qube in upstream's way, and dom0 as a target.
sys-gui:
  qvm.vm:
    - present:
      - label: black
      - template: fedora-41-xfce
      - maxmem: 4000
      - flags: [net]
    - prefs:
      - label: black
      - netvm: none
      - guivm: ""
      - audiovm: dom0
      - memory: 600
      - dispvm-allowed: true
      - management-dispvm: default-dvm
    - features:
      - enable:
        - gui-emulated
      - set:
        - input-dom0-proxy: true
        - gui-secure-copy-sequence: none
        - gui-secure-paste-sequence: none
    - service:
      - enable: [guivm, guivm-gui-agent, lightdm, dummy-psu, dummy-backlight]
      - disable: [guivm-vnc, audiovm, minimal-usbvm]
    - tags:
      - present: [whonix-updatevm]

work-prefs:
  qvm.prefs:
    - require:
      - qvm: sys-gui
    - name: work
    - guivm: sys-gui
    - template-for-dispvms: true

updates:
  qvm.features:
    - name: dom0
    - set:
      - qubes-vm-update-update-if-stale: 7
      - qubes-vm-update-restart-servicevms: 0
      - preload-dispvm-max: 2
      - preload-dispvm-threshold: 1000

dom0-tags:
  qvm.tags:
    - name: dom0
    - add:
      - admin-of-all
