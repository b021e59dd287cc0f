# SPDX-License-Identifier: GPL-3.0-or-later
# Qubes with devices from a grain, a firewall qube of another kernel, and those behind it.
{% set net = salt['grains.get']('pci_net_devs', ['00_1f.6']) %}
disp-net:
  qvm.vm:
    - present:
      - template: debian-12-xfce
      - label: red
    - prefs:
      - virt_mode: hvm
      - netvm: ""
      - autostart: True
      - provides-network: True
      - pcidevs: {{ net | yaml }}
      - pci_strictreset: False
      - memory: 400
      - maxmem: 0
      - kernelopts: ""
    - service:
      - enable:
        - clocksync
        - minimal-netvm
        - network-manager
      - disable:
        - meminfo-writer
        - qubes-update-check
    - features:
      - enable:
        - servicevm
      - set:
        - video-model: none

sys-mirage:
  qvm.vm:
    - require:
      - qvm: disp-net
    - present:
      - template: debian-12-xfce
      - class: StandaloneVM
      - label: orange
      - mem: 64
    - prefs:
      - virt_mode: pvh
      - netvm: disp-net
      - provides_network: True
      - kernel: pvgrub2-pvh
      - memory: 64
      - maxmem: 64
      - default-dispvm: default-dvm
      - pcidevs: []
    - features:
      - enable:
        - no-default-kernelopts
      - set:
        - gui-allow-fullscreen:
        - skip-update: 1

sys-vpn-present:
  qvm.present:
    - name: sys-vpn
    - template: debian-12-xfce
    - label: orange
    - mem: 400
    - vcpus: 1
    - maxmem: 800
    - flags:
      - proxy

sys-vpn-prefs:
  qvm.prefs:
    - require:
      - qvm: sys-vpn-present
    - name: sys-vpn
    - netvm: sys-mirage
    - autostart: false
    - kernel: "*default*"
    - provides-network: true

usb-devices:
  qvm.devices:
    - name: disp-net
    - attach:
      - pci:dom0:00_14.0:
        - permissive: true
    - detach:
      - pci:dom0:00_02.0
