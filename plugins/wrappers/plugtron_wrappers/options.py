"""Options of the wrappers."""

from __future__ import annotations

from pydantic import Field

from plugtron.options import Options

__all__ = ["LlamaOptions"]


class LlamaOptions(Options):
    """What a wrapper may overlook."""

    ignore_fields: list[str] = Field(
        default_factory=list, description="fields of config.json that are known to change nothing"
    )
