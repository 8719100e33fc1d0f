"""Parameters of the stages that go by how uncertain the model is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from plugtron import Params

__all__ = ["DynamicTemperatureParams", "MirostatParams"]

_MIROSTAT = "arXiv:2007.14966, llama.cpp"


class DynamicTemperatureParams(Params):
    """A temperature between two, by the entropy."""

    dynatemp_range: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="the temperature lies between temperature - range, not below 0, and temperature + range: the more "
        "uncertain the model, the higher; 0: it is fixed",
        json_schema_extra={"unset": 0.0, "source": "llama.cpp"},
    )
    dynatemp_exponent: float | None = Field(
        default=None,
        gt=0,
        le=1e3,
        description="the share of the range is the entropy, divided by its maximum, to the power of this",
        json_schema_extra={"unset": 1.0, "source": "llama.cpp", "needs": "dynatemp_range"},
    )


class MirostatParams(Params):
    """Surprise that is held at a level."""

    mirostat: Literal[0, 2] | None = Field(
        default=None,
        description="2: ids of more surprise than a bound are left out, and the bound follows the surprise of what is "
        "drawn, so that it comes to mirostat_tau on average; 0: none are",
        json_schema_extra={"unset": 0, "source": _MIROSTAT},
    )
    mirostat_tau: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="the surprise to come to, in bits a token; the bound begins at twice as many",
        json_schema_extra={"unset": 5.0, "source": _MIROSTAT, "needs": "mirostat"},
    )
    mirostat_eta: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="how much of its distance from mirostat_tau a token's surprise moves the bound by",
        json_schema_extra={"unset": 0.1, "source": _MIROSTAT, "needs": "mirostat"},
    )
