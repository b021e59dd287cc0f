# SPDX-License-Identifier: GPL-3.0-or-later
# Starting after configuring, and a word of Jinja in between.
{% set known = salt['qvm.check']('work', 'exists').passed() %}
{% if known %}
work:
  qvm.exists: []
{% endif %}

work-prefs:
  qvm.prefs:
    - name: work
    - virt_mode: pvh
    - maxmem: 800
    - memory: 400

work-start:
  qvm.start:
    - name: work
    - require:
      - qvm: work-prefs

work-running:
  qvm.vm:
    - name: work
    - running: []
    - unpause: []
    - actions: [unpause, running]
    - require:
      - qvm: work-start
