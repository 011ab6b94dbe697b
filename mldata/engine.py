"""What identifies an engine (translator, identifier, encoder) in digests, manifest and dataset card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """One engine with one model."""

    name: str
    version: str
    """Package, model or mode and its version, for people."""
    digest: str
    """Changes with everything that can change the engine's output: versions, weights, parameters."""
    licence: str
    """SPDX expression of the engine and its model, or "unknown"."""
