"""Licences of models, and what they allow."""

from __future__ import annotations


def allows_commercial(licence: str) -> bool | None:
    """Whether an SPDX expression allows commercial use; None where that can't be told."""
    return None if licence == "unknown" else "-NC" not in licence
