"""Before a model is built: do all ranks have the same components, of the same versions, with the same options?"""

from __future__ import annotations

from plugtron.errors import ParallelError
from plugtron.parallel.group import Group
from plugtron.spec.resolve import ResolvedSpec

__all__ = ["agree_on_components"]


def agree_on_components(group: Group, resolved: ResolvedSpec) -> None:
    """Compare what the ranks have resolved.

    Raises:
        ParallelError: on every rank, naming the first that differs from rank 0, and in what.
    """
    own = {
        f"{chosen.offer.kind} {'.'.join(map(str, chosen.place))} {chosen.offer.name}": (
            f"{chosen.offer.distribution} {chosen.offer.version} with {chosen.options.model_dump_json()}"
        )
        for chosen in resolved.components
    }
    everyone = group.all_gather_json(own)
    for rank, theirs in enumerate(everyone):
        for name in sorted({*everyone[0], *theirs}):
            expected, found = everyone[0].get(name, "nothing"), theirs.get(name, "nothing")
            if expected != found:
                raise ParallelError(f"rank {rank} differs from rank 0 in {name}: {found}, against {expected}")
