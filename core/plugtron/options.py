"""The bases of what a component is configured with; apart from `component`, which must not cost pydantic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Options", "Params"]


class Options(BaseModel):
    """Base of a component's options: they belong to the run and stand under `options` in the spec.

    The module of a subclass must import without torch, because specs are checked without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Params(BaseModel):
    """Base of a sampler's parameters: they belong to a request. Every field defaults to None, "not asked for"."""

    model_config = ConfigDict(extra="forbid", frozen=True)
