# SPDX-License-Identifier: GPL-3.0-or-later
# Keeps nouveau from taking the card before the driver does. Part of nvidia.driver_installed; here for
# a qube that gets its driver another way. dom0 needs its graphics driver and is left alone.
{% from 'nvidia-driver/map.jinja' import paths %}

{% if grains['id'] != 'dom0' %}

nvidia-driver--disable-nouveau:
  nvidia.nouveau_disabled:
    - paths: {{ paths | json }}

{% endif %}
