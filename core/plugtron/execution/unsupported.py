"""Why an execution cannot run something."""

from __future__ import annotations

__all__ = ["Unsupported"]


class Unsupported(Exception):
    """A run wants something that an execution does not know, and what."""
