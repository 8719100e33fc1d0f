"""Writing a resolved spec out: what `plugtron show` prints, and what loads back equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any

import yaml

from plugtron.plugin.component import Kind
from plugtron.request.chat_options import ChatOptions
from plugtron.spec.load import Place
from plugtron.spec.resolved import ResolvedComponent, ResolvedSpec

__all__ = ["dump", "plain_data"]

#: Kinds of which a spec has a list, with a word for plugtron's own.
_LISTED = (Kind.SAMPLER, Kind.ROUTES)


def plain_data(resolved: ResolvedSpec) -> dict[str, Any]:
    """The spec as plain data with every default; a component without options stays a bare name."""
    data = resolved.spec.model_dump()
    # Of the forms that a prompt may take, only the one it has.
    data["prompts"] = resolved.spec.model_dump(include={"prompts"}, exclude_defaults=True).get("prompts", [])
    for owner, key in (
        *((data, key) for key in ("engine", "controller", "tokenizer", "execution", "attention")),
        *((data["model"], key) for key in ("wrapper", "quantization")),
    ):
        owner[key] = _short(owner[key])
    data["samplers"] = [_short(ref) for ref in data["samplers"]]
    if data["serve"] is None:
        del data["serve"]
    else:
        data["serve"]["routes"] = [_short(ref) for ref in data["serve"]["routes"]]
    # What a spec begins with comes first, how chats are written out last.
    return {name: data[name] for name in sorted(data, key=lambda name: name in ChatOptions.model_fields)}


def dump(resolved: ResolvedSpec, settled: Mapping[str, str] = MappingProxyType({})) -> str:
    """The spec as YAML, headed by a comment that says which distribution each component comes from.

    Args:
        settled: what `auto` comes to on this machine, by place; for the comment.
    """
    numbers: dict[Place, Iterator[int]] = {}
    rows = [
        (_place(chosen, numbers), chosen.offer.name, f"{chosen.offer.distribution} {chosen.offer.version}")
        for chosen in resolved.components
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    header = [f"# {place:{widths[0]}}  {name:{widths[1]}}  {origin}" for place, name, origin in rows]
    header += [f"# {place}: auto is {value} here" for place, value in settled.items()]
    body = yaml.safe_dump(plain_data(resolved), sort_keys=False, allow_unicode=True, width=100)
    return "\n".join([*header, body])


def _place(chosen: ResolvedComponent, numbers: dict[Place, Iterator[int]]) -> str:
    """Where a component stands in what is printed: there `default` in a list is written out as several components."""
    *owner, last = chosen.place
    if isinstance(last, int) and chosen.offer.kind in _LISTED:
        last = next(numbers.setdefault(tuple(owner), count()))
    return ".".join(map(str, (*owner, last)))


def _short(ref: dict[str, Any]) -> Any:
    return ref if ref is None or ref["options"] else ref["name"]
