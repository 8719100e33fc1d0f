"""Parameters of the stages that cut a distribution down."""

from __future__ import annotations

from pydantic import Field

from plugtron import Params

__all__ = ["EpsilonCutoffParams", "EtaCutoffParams", "TopNSigmaParams", "TypicalPParams", "XTCParams"]


class TopNSigmaParams(Params):
    """How far below the greatest logit others may lie."""

    top_n_sigma: float | None = Field(
        default=None,
        ge=-1,
        le=1e3,
        description="only logits within this many standard deviations of the greatest; 0 and below keep all",
        json_schema_extra={"unset": 0.0, "source": "arXiv:2411.07641"},
    )


class TypicalPParams(Params):
    """The probability that the candidates which are kept have together."""

    typical_p: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="only the ids whose surprise is nearest to the entropy, until they have this probability together; "
        "1 keeps all",
        json_schema_extra={"unset": 1.0, "source": "arXiv:2202.00666"},
    )


class EpsilonCutoffParams(Params):
    """The least probability."""

    epsilon_cutoff: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="only ids of at least this probability, and the most likely; 0 keeps all",
        json_schema_extra={"unset": 0.0, "source": "arXiv:2210.15191"},
    )


class EtaCutoffParams(Params):
    """The least probability, lower where the distribution is uncertain."""

    eta_cutoff: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="only ids of at least min(eta, sqrt(eta) * exp(-entropy)), and the most likely; 0 keeps all",
        json_schema_extra={"unset": 0.0, "source": "arXiv:2210.15191"},
    )


class XTCParams(Params):
    """Leaving out top choices."""

    xtc_probability: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="how often, of all draws, the likeliest ids are left out; 0: never",
        json_schema_extra={"unset": 0.0, "source": "llama.cpp, text-generation-webui"},
    )
    xtc_threshold: float | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="then of the ids of at least this probability only the least likely stays",
        json_schema_extra={"unset": 0.1, "source": "llama.cpp, text-generation-webui", "needs": "xtc_probability"},
    )
