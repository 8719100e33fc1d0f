"""Options of the wrappers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from plugtron import Options, PathText

__all__ = ["FamilyOptions", "GPTOptions", "Phi3Options"]


class FamilyOptions(Options):
    """What a wrapper may overlook."""

    ignore_fields: list[str] = Field(
        default_factory=list, description="fields of config.json that are known to change nothing"
    )


class GPTOptions(Options):
    """What a checkpoint leaves open or says wrongly, and what may be overlooked."""

    configuration: dict[str, Any] = Field(
        default_factory=dict, description="what describes the model, instead of what the checkpoint says"
    )
    configuration_file: PathText | None = Field(default=None, description="the same in a JSON file")
    ignore_fields: list[str] = Field(default_factory=list, description="fields that are known to change nothing")


class Phi3Options(FamilyOptions):
    """Which of the two rotations of longrope is used."""

    long_factors: bool = Field(
        default=False,
        description=(
            "rotate by longrope's long factors, whatever the length of a text, so that it may reach "
            "max_position_embeddings; else by the short ones, and texts end at original_max_position_embeddings "
            "(transformers changes from short to long when a text outgrows that, and computes all of it anew)"
        ),
    )
