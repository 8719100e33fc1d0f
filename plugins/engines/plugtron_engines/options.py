"""Options of the engines."""

from __future__ import annotations

from pydantic import Field

from plugtron.options import Options

__all__ = ["StaticOptions"]


class StaticOptions(Options):
    """How much the static engine takes on at once."""

    max_batch_size: int = Field(default=8, ge=1, le=4096, description="sequences per batch")
    max_sequence_length: int | None = Field(
        default=None, ge=2, description="prompt and answer together; by default what the model allows, up to 2048"
    )
