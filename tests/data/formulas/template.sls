# SPDX-License-Identifier: GPL-3.0-or-later
# A template of one's own: cloned, set up, and what is made from it. The way of qusal.
{% set name = 'tpl-browser' %}
{{ name }}-installed:
  qvm.template_installed:
    - name: debian-12-xfce
    - fromrepo: qubes-templates-itl

fedora-41-xfce:
  qvm.template_installed: []

{{ name }}-clone:
  qvm.clone:
    - require:
      - qvm: {{ name }}-installed
    - name: {{ name }}
    - source: debian-12-xfce

{{ name }}:
  qvm.vm:
    - require:
      - qvm: {{ name }}-clone
    - exists: []
    - prefs:
      - audiovm: ""
      - label: black
      - memory: 400
      - maxmem: 600
      - vcpus: 1
      - include_in_backups: False
      - management_dispvm: "*default*"
    - features:
      - enable:
        - service.shutdown-idle
        - no-default-kernelopts
        - skip-update
      - disable:
        - service.evolution-data-server
      - set:
        - menu-items: "qubes-run-terminal.desktop qubes-start.desktop"
        - default-menu-items: "qubes-run-terminal.desktop firefox-esr.desktop"
    - tags:
      - add:
        - audiovm-dom0-client
      - del:
        - no-such-tag

dvm-browser:
  qvm.vm:
    - require:
      - qvm: {{ name }}
    - present:
      - template: {{ name }}
      - label: red
    - prefs:
      - template: {{ name }}
      - label: red
      - audiovm: "*default*"
      - netvm: "*default*"
      - memory: 300
      - maxmem: 400
      - vcpus: 1
      - default_dispvm: dvm-browser
      - template_for_dispvms: True
      - include_in_backups: False
    - features:
      - enable:
        - service.tracker
      - set:
        - appmenus-dispvm: true
        - preload-dispvm-max: 1
        - menu-items: "firefox-esr.desktop"

disp-browser:
  qvm.vm:
    - require:
      - qvm: dvm-browser
    - present:
      - class: DispVM
      - template: dvm-browser
      - label: red
    - prefs:
      - autostart: False
      - include_in_backups: False
      - default_dispvm: ""
