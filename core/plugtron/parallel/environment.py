"""What a launcher has told this process; no torch, so that the command line can ask early."""

from __future__ import annotations

import os

__all__ = ["is_launched"]


def is_launched() -> bool:
    """Whether torchrun, or something that sets the same variables, has started this process as a rank."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
