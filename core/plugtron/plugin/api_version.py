"""The version of what plugins are written against, hooks, records and contracts; and which plugins fit this one."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["API_VERSION", "api_range", "check_api", "check_requirements"]

#: Raised only when something a plugin relies on is removed or renamed; additions leave it alone.
API_VERSION = 1

#: A requirement of plugtron itself that says which version.
_OF_PLUGTRON = re.compile(r"plugtron\s*(\[[^]]*\])?\s*[(<>=!~]", re.IGNORECASE)


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
        if not _OF_PLUGTRON.match(text):
            continue
        # Imported here: most requirements name no version.
        from packaging.requirements import Requirement
        from packaging.version import Version

        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not applies or requirement.specifier.contains(installed, prereleases=True):
            continue
        newer = any(Version(each.version.removesuffix(".*")) > Version(installed) for each in requirement.specifier)
        remedy = f"pip install 'plugtron{requirement.specifier}'" if newer else f"upgrade {distribution}"
        raise RuntimeError(f"requires plugtron{requirement.specifier}; plugtron {installed} is installed: {remedy}")
