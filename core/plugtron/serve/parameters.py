"""The parameters that requests to this run may have, as a JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from plugtron.contracts.routes import Service
from plugtron.plugin.registry import RegisteredComponent
from plugtron.request.chat_options import ChatOptions

__all__ = ["parameters_schema", "service_parameters"]


def service_parameters(service: Service) -> dict[str, Any]:
    """What requests to a server may have."""
    defaults = service.new_request([], {}, chat=ChatOptions()).params.asked()
    return parameters_schema(service.components, defaults)


def parameters_schema(components: Iterable[RegisteredComponent], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What the chosen parts declare, in the spec's order.

    Beside the words of JSON Schema, each property has `by`, the part that uses it, and `default`: what a chat gets
    that leaves it out; none where that is nothing. `unset` is what nothing amounts to.

    Args:
        defaults: the parameters of a chat that sets none.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for offer in components:
        model = offer.params_model()
        if model is None:
            continue
        schema = model.model_json_schema()
        definitions |= schema.get("$defs", {})
        for name, declared in schema["properties"].items():
            if name not in properties:
                own = {"default": defaults[name]} if name in defaults else {}
                by = {"kind": offer.kind, "name": offer.name}
                properties[name] = {**_without_null(declared), **own, "by": by}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def _without_null(declared: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without the null that stands for leaving it out."""
    forms = [form for form in declared.get("anyOf", ()) if form != {"type": "null"}]
    rest = {name: value for name, value in declared.items() if name not in ("anyOf", "default", "title")}
    if len(forms) == 1:
        return {**forms[0], **rest}
    return {"anyOf": forms, **rest} if forms else rest
