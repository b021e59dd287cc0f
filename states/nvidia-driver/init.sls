# SPDX-License-Identifier: GPL-3.0-or-later
{% from 'nvidia-driver/map.jinja' import prefs, devices, paths %}

{% if grains['id'] == 'dom0' %}

nvidia-driver--ready:
  qvm_gpu.ready:
    - name: {{ prefs.standalone_name | json }}
    - template: {{ prefs.template_name | json }}
    - label: {{ prefs.standalone_label | json }}
    - mem: {{ prefs.standalone_memory | json }}
    - devices: {{ devices | json }}

nvidia-driver--qube:
  qvm_gpu.present:
    - name: {{ prefs.standalone_name | json }}
    - template: {{ prefs.template_name | json }}
    - label: {{ prefs.standalone_label | json }}
    - mem: {{ prefs.standalone_memory | json }}
    - vcpus: {{ prefs.standalone_cpus | json }}
    - devices: {{ devices | json }}
    - menu_items: qubes-run-terminal.desktop
    - require:
      - qvm_gpu: nvidia-driver--ready

{% else %}

nvidia-driver--driver:
  nvidia.driver_installed:
    - paths: {{ paths | json }}

{% endif %}
