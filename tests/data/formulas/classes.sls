# SPDX-License-Identifier: GPL-3.0-or-later
# Each class, and keys of a creation that upstream drops: they belong under prefs, and are named.
tpl--present:
  qvm.present:
    - name: tpl-own
    - class: TemplateVM
    - template: fedora-40-xfce
    - label: black

standalone--present:
  qvm.present:
    - name: whole
    - class: StandaloneVM
    - template: debian-12-xfce
    - label: orange
    - netvm: sys-firewall
    - virt_mode: pv
    - kernel: ""
    - kernelopts: quiet

standalone--prefs:
  qvm.prefs:
    - name: whole
    - virt_mode: pv
    - kernel: ""
    - kernelopts: "nomodeset"

standalone--features:
  qvm.features:
    - name: whole
    - enable:
      - no-nomodeset
      - gui-allow-fullscreen
    - set:
      - menu-items: qubes-run-terminal.desktop

audio--vm:
  qvm.vm:
    - name: sys-audio
    - present:
      - class: AppVM
      - template: tpl-own
      - label: red
    - prefs:
      - label: red
      - virt_mode: hvm
      - pcidevs: {{ salt['grains.get']('pci_audio_devs', []) }}
    - service:
      - enable: [audiovm]

dvm--present:
  qvm.vm:
    - name: own-dvm
    - present:
      - class: AppVM
      - template: tpl-own
      - label: red
    - prefs:
      - dispvm-allowed: true

disp--present:
  qvm.present:
    - name: own-disp
    - class: DispVM
    - template: own-dvm
    - label: red

# a name in a list, as one collection has it: Salt takes the ID
own-usb:
  qvm.present:
    - name: [own-usb]
    - template: tpl-own
    - label: red
