# SPDX-License-Identifier: GPL-3.0-or-later
# States alone, one after the other, the way of shaker; values quoted and not.
mail-tpl--clone:
  qvm.clone:
    - name: mail-tpl
    - source: fedora-41-xfce

mail--create:
  qvm.present:
    - name: mail
    - class: AppVM
    - template: mail-tpl
    - label: yellow

mail--prefs:
  qvm.prefs:
    - name: mail
    - memory: '500'
    - maxmem: '2000'
    - vcpus: '2'
    - netvm: none
    - include_in_backups: true
    - autostart: False
    - default_dispvm: default-dvm
    - kernelopts: "quiet"
    - template_for_dispvms: True

mail--features:
  qvm.features:
    - name: mail
    - enable:
      - appmenus-dispvm
      - internal
      - whonix-ws
    - disable:
      - skip-update
    - set:
      - menu-items: thunderbird.desktop
    - ipv6: ''

usb--create:
  qvm.present:
    - name: usb
    - template: fedora-41-xfce
    - label: red

usb--prefs:
  qvm.prefs:
    - name: usb
    - virt_mode: hvm
    - memory: 400
    - maxmem: 0
    - pcidevs: ["00:14.0"]
    - pci_strictreset: False

usb--service:
  qvm.service:
    - name: usb
    - enable: []
    - disable:
      - meminfo-writer

gpu--create:
  qvm.vm:
    - name: gpu
    - present:
      - template: fedora-40-xfce
      - label: yellow
      - flags:
        - standalone
    - prefs:
      - label: yellow
      - debug: True
      - memory: '4000'
      - maxmem: 0
      - vcpus: 4
      - pcidevs: ['01:00.0', '01:00.1']
      - virt_mode: hvm
      - kernel:
      - kernelopts: ''
    - features:
      - set:
        - menu-items: qubes-run-terminal.desktop

wall:
  qvm.firewall:
    - name: mail
    - set:
      - action=accept specialtarget=dns
      - action=accept dsthost=mail.example.org proto=tcp dstports=993
      - action=drop
