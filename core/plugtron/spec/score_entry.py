"""A line of a file that is scored."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["ScoreEntry"]


class ScoreEntry(BaseModel):
    """A prompt and its continuation, or a text: each a text or token ids."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str | list[int] | None = None
    continuation: str | list[int] | None = None
    text: str | list[int] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        pair = (self.prompt is not None, self.continuation is not None)
        if (self.text is not None) == all(pair) or any(pair) != all(pair):
            raise ValueError('give {"prompt": ..., "continuation": ...}, or {"text": ...}')
        return self
