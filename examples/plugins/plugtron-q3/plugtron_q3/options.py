"""Options of the method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from plugtron import Options

__all__ = ["Q3Options"]


class Q3Options(Options):
    """How finely weights are cut."""

    group: Literal[16, 32, 64, 128] = Field(default=32, description="inputs that share a scale and a minimum")
