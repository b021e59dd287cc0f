# SPDX-License-Identifier: GPL-3.0-or-later
# The way of the official formulas: blocks of YAML that a macro turns into states.
{% from "qvm/template.jinja" import load with context %}
{% set template = salt['cmd.shell']('qubes-prefs default_template') %}

include:
  - other

{% load_yaml as defaults %}
name: sys-usb
present:
  - label: {{ salt['pillar.get']('qvm:sys-usb:label', 'red') }}
  - template: {{ template }}
  - mem: 300
  - flags: [net]
prefs:
  - netvm: ""
  - autostart: true
  - virt_mode: hvm
  - pcidevs: {{ salt['grains.get']('pci_usb_devs', []) + salt['grains.get']('pci_audio_devs', []) }}
  - pci_strictreset: false
service:
  - enable: [minimal-usbvm]
  - disable: [meminfo-writer]
require:
  - sls: other
  - cmd: nothing
{% endload %}
{{ load(defaults) }}

{% load_yaml as defaults %}
name: work
force: true
exists: []
prefs:
  - memory: 700
{% endload %}
{{ load(defaults) }}

{% load_yaml as defaults %}
name: sys-whonix
present:
  - label: purple
  - template: debian-12-xfce
prefs:
  - provides-network: true
  - netvm: sys-firewall
  - memory: 500
features:
  - enable: [whonix-gw]
tags:
  - add: [anon-gateway]
{% endload %}
{{ load(defaults) }}
