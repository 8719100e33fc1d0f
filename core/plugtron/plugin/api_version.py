"""The version of what plugins are written against, hooks, records and contracts; and which plugins fit this one."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["API_VERSION", "api_range", "check_api", "check_requirements"]

#: Raised only when something a plugin relies on is removed or renamed; additions leave it alone.
API_VERSION = 1

#: A requirement of plugtron itself that says which version.
_OF_PLUGTRON = re.compile(r"plugtron\s*(?:\[[^]]*\])?\s*\(?\s*([<>=!~][^;)]*)\)?\s*(?:;(.*))?", re.IGNORECASE)


def api_range(declared: object) -> tuple[int, int | None]:
    """The least and the greatest API that a PLUGTRON_API means; a number alone is the least.

    Raises:
        ValueError: it is neither a number nor a pair of them.
    """
    pair = (declared, None) if isinstance(declared, int) else declared
    match pair:
        case (int(least), int(greatest)) if least <= greatest:
            return least, greatest
        case (int(least), None):
            return least, None
    raise ValueError(f"PLUGTRON_API is {declared!r} (accepted: the least API, or a pair: the least and the greatest)")


def check_api(declared: object, distribution: str) -> None:
    """Compare a plugin's PLUGTRON_API with the API of this plugtron.

    Raises:
        RuntimeError: they do not fit; it says which side to upgrade.
    """
    least, greatest = api_range(declared)
    asked = f"{least}" if greatest in (None, least) else f"{least} to {greatest}"
    if least > API_VERSION:
        raise RuntimeError(f"asks for plugin API {asked}; this plugtron offers {API_VERSION}: upgrade plugtron")
    if greatest is not None and greatest < API_VERSION:
        raise RuntimeError(f"asks for plugin API {asked}; this plugtron offers {API_VERSION}: upgrade {distribution}")


def check_requirements(requires: Iterable[str], distribution: str, installed: str) -> None:
    """Compare what a distribution requires of plugtron with the version that is installed: pip lets it be otherwise.

    Raises:
        RuntimeError: it is another; it says which side to upgrade.
    """
    for text in requires:
        found = _OF_PLUGTRON.fullmatch(text.strip())
        if found is None or not _applies(found[2]):
            continue
        # Imported here, and without what reads whole requirements: every command pays for it.
        from packaging.specifiers import SpecifierSet
        from packaging.version import Version

        wanted = SpecifierSet(found[1].strip())
        if wanted.contains(installed, prereleases=True):
            continue
        newer = any(Version(each.version.removesuffix(".*")) > Version(installed) for each in wanted)
        remedy = f"pip install 'plugtron{wanted}'" if newer else f"upgrade {distribution}"
        raise RuntimeError(f"requires plugtron{wanted}; plugtron {installed} is installed: {remedy}")


def _applies(marker: str | None) -> bool:
    """Whether a requirement holds here: of those of extras nobody knows whether they were asked for."""
    if marker is None:
        return True
    from packaging.markers import Marker

    return Marker(marker.strip()).evaluate({"extra": ""})
