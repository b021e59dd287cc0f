# SPDX-License-Identifier: GPL-3.0-or-later
"""The Admin API, one module an area; importing them fills the table of methods."""

from __future__ import annotations

from . import (  # noqa: F401 - each registers its methods
    devices,
    features,
    firewall,
    lifecycle,
    listing,
    power,
    properties,
    storage,
    streams,
    tags,
)
from .registry import METHODS, Stream, dispatch

__all__ = ["METHODS", "Stream", "dispatch"]
