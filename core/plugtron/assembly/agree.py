"""Before a model is built: do all ranks have the same components, of the same versions, with the same options?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.errors import ParallelError
from plugtron.parallel.group import Group

if TYPE_CHECKING:
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["agree_on_components"]


def agree_on_components(group: Group, resolved: ResolvedSpec) -> None:
    """Compare what the ranks have resolved.

    Raises:
        ParallelError: on every rank, naming the first that differs from rank 0, and in what.
    """
    own: dict[str, str] = {}
    if resolved.reader is not None and resolved.model is not None:
        reader = resolved.reader
        own["checkpoint"] = f"{resolved.model.provision} by {reader.name} ({reader.distribution} {reader.version})"
    for chosen in resolved.components:
        offer, options = chosen.offer, chosen.options.model_dump_json()
        place = f"{offer.kind} {sum(name.startswith(offer.kind) for name in own)}"
        own[place] = f"{offer.name} ({offer.distribution} {offer.version}) with {options}"
    everyone = group.all_gather_json(own)
    for rank, theirs in enumerate(everyone):
        for place in dict.fromkeys([*everyone[0], *theirs]):
            expected, found = everyone[0].get(place, "nothing"), theirs.get(place, "nothing")
            if expected != found:
                raise ParallelError(f"rank {rank} has, as {place}, {found}; rank 0 has {expected}")
