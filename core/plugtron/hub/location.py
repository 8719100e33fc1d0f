"""Which checkpoint a name means: an alias, a path, or a hub id; and fetching what is not at hand."""

from __future__ import annotations

import re
from pathlib import Path

from plugtron.errors import SpecError, suggestion
from plugtron.hub.aliases import ALIASES
from plugtron.utils.cache_dir import cache_directory

__all__ = ["fetch", "is_hub_id", "locate"]


_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_FORMS = (
    "a model is an alias ({aliases}), a path (a folder of Hugging Face or Megatron, or a .gguf file; ./name where it "
    "could be taken for something else), or a hub id such as HuggingFaceTB/SmolLM2-135M-Instruct"
)


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
        from plugtron.hub.verified import is_verified

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
        from plugtron.hub.download import cached_hub_snapshot

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
        from plugtron.hub.verified import forget

        forget(cache_directory() / ALIASES[name].file)
    path = locate(name)
    if path is not None:
        return path
    from plugtron.hub.download import fetch_alias, fetch_hub_snapshot

    if name in ALIASES:
        return fetch_alias(name, ALIASES[name], cache_directory())
    return fetch_hub_snapshot(name)
