"""A line of a file that is embedded."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["EmbedEntry"]


class EmbedEntry(BaseModel):
    """A text, or token ids."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | list[int]
