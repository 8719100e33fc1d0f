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
    """Where drafts come from, and how long they are."""

    draft_model: str | None = Field(
        default=None, description="alias, path or hub id of a draft model; by default drafts are n-grams of the text"
    )
    mtp: bool = Field(
        default=False,
        description="drafts come from the checkpoint's layers of multi-token prediction (Megatron's mtp_num_layers)",
    )
    draft_quantization: str | None = Field(default=None, description="of the draft model, as model.quantization")
    num_speculative_tokens: int = Field(default=8, ge=1, le=64, description="the longest draft")
    min_ngram: int = Field(default=2, ge=1, le=16, description="the shortest n-gram that is looked up")
    max_ngram: int = Field(default=5, ge=1, le=64, description="the longest n-gram that is compared")
    max_rows: int = Field(default=8, ge=1, description="steps of more sequences have no drafts")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_ngram < self.min_ngram:
            raise ValueError(f"max_ngram: {self.max_ngram} is less than min_ngram, {self.min_ngram}")
        if self.mtp and self.draft_model is not None:
            raise ValueError("mtp and draft_model exclude each other: drafts come from one of them")
        return self
