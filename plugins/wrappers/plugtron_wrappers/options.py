"""Options of the wrappers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from plugtron import Options, PathText

__all__ = ["FamilyOptions", "GPTOptions"]


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
