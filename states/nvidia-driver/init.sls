# SPDX-License-Identifier: GPL-3.0-or-later
{% from 'nvidia-driver/map.jinja' import prefs, devices, paths %}

{% if grains['id'] == 'dom0' %}

nvidia-driver--ready:
  qvm_gpu.ready:
    - name: {{ prefs.standalone_name }}
    - template: {{ prefs.template_name }}
    - label: {{ prefs.standalone_label }}
    - mem: {{ prefs.standalone_memory }}
    - devices: {{ devices }}

nvidia-driver--qube:
  qvm_gpu.present:
    - name: {{ prefs.standalone_name }}
    - template: {{ prefs.template_name }}
    - label: {{ prefs.standalone_label }}
    - mem: {{ prefs.standalone_memory }}
    - vcpus: {{ prefs.standalone_cpus }}
    - devices: {{ devices }}
    - menu_items: qubes-run-terminal.desktop
    - require:
      - qvm_gpu: nvidia-driver--ready

{% else %}

nvidia-driver--driver:
  nvidia.driver_installed:
    - paths: {{ paths }}

{% endif %}
