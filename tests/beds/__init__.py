# SPDX-License-Identifier: GPL-3.0-or-later
"""Test beds: chroots with the real package managers, boot loader tools, DKMS and sshd."""
