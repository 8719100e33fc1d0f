"""One plugin in full, for reading and as JSON: what it is, what it offers, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from plugtron.errors import PluginError
from plugtron.plugin.api_version import API_VERSION, api_range
from plugtron.plugin.discovery import Plugin
from plugtron.plugin.registry import RegisteredComponent

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["page", "record"]


def page(plugin: Plugin, *, traceback: bool) -> list[str]:
    """The lines of a plugin's page."""
    lines = [
        f"name:          {plugin.name}",
        f"distribution:  {plugin.distribution} {plugin.version}",
        f"state:         {plugin.state}",
        f"file:          {plugin.file or '-'}",
        f"API:           {_api(plugin)} (this plugtron offers {API_VERSION})",
        f"hooks:         {', '.join(plugin.hooks) or '-'}",
    ]
    if plugin.options is not None:
        lines += ["options:", *_fields("option", plugin.options)]
    for offer in plugin.offers:
        lines += _component(offer)
    if plugin.failure:
        lines.append(f"failed at:     {plugin.failure.stage}: {plugin.failure.error}")
        lines += ["", plugin.failure.traceback] if traceback else ["               -v shows the traceback"]
    return lines


def record(plugin: Plugin) -> dict[str, Any]:
    """A plugin as JSON."""
    failure = plugin.failure
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": plugin.state,
        "file": plugin.file,
        "api": None if plugin.failure or plugin.api is None else list(api_range(plugin.api)),
        "hooks": list(plugin.hooks),
        "components": [{"kind": offer.kind.value, "name": offer.name} for offer in plugin.offers],
        "failure": failure and {"stage": failure.stage, "error": failure.error, "traceback": failure.traceback},
    }


def _api(plugin: Plugin) -> str:
    return "any" if plugin.api is None else str(plugin.api)


def _component(offer: RegisteredComponent) -> Iterator[str]:
    component = offer.component
    yield f"offers:        {offer.kind} {offer.name}: {component.summary or '-'}"
    yield f"    target {component.target}"
    for word, values in (
        ("needs", sorted(component.needs)),
        ("provides", sorted(component.provides)),
        ("also called", component.aliases),
    ):
        if values:
            yield f"    {word} {', '.join(values)}"
    for word, model in (("option", offer.options_model), ("parameter", offer.params_model)):
        try:
            found = model()
        except PluginError as error:  # of one component, which must not hide the others
            yield f"    {error}"
            continue
        yield from _fields(word, found) if found else ()


def _fields(word: str, model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f" = {field.get_default(call_default_factory=True)!r}"
        about = f"  ({field.description})" if field.description else ""
        yield f"    {word} {name}: {_type(field)}{default}{about}"


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
