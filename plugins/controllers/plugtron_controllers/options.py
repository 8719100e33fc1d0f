"""Options of the controllers."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from plugtron import Options

__all__ = ["BeamOptions", "SpeculativeOptions"]


class BeamOptions(Options):
    """How much is looked at once."""

    max_beams: int = Field(default=16, ge=1, le=4096, description="beams at once, over all requests; others wait")


class SpeculativeOptions(Options):
    """What guesses, and how much."""

    draft_model: str | None = Field(
        default=None, description="alias, path or hub id of a model that guesses; by default the text itself does"
    )
    draft_quantization: str | None = Field(default=None, description="of the draft model, as model.quantization")
    num_speculative_tokens: int = Field(default=8, ge=1, le=64, description="tokens of a guess at the most")
    min_ngram: int = Field(default=2, ge=1, le=16, description="tokens that must have stood in the text before")
    max_ngram: int = Field(default=5, ge=1, le=64, description="tokens that are compared at the most")
    max_rows: int = Field(default=8, ge=1, description="no guesses in steps of more sequences")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_ngram < self.min_ngram:
            raise ValueError(f"max_ngram: {self.max_ngram} is less than min_ngram, {self.min_ngram}")
        return self
