"""JSON Schema of a spec for the plugins installed now: what an editor completes and checks against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugtron.errors import PluginError
from plugtron.plugin.component import Kind
from plugtron.plugin.registry import RegisteredComponent, Registry
from plugtron.request.chat_options import AUTO_PARSER, NO_PARSER
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec.model import Spec

__all__ = ["json_schema"]


def json_schema(registry: Registry) -> dict[str, Any]:
    """Spec's own schema, with each component's options and each sampler's parameters put in their places."""
    schema = Spec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema["$defs"]
    properties = schema["properties"]
    model = definitions["ModelSpec"]["properties"]
    properties["engine"] = _choice(registry.offers(Kind.ENGINE))
    properties["controller"] = _choice(registry.offers(Kind.CONTROLLER))
    properties["tokenizer"] = _choice(registry.offers(Kind.TOKENIZER), "auto")
    properties["execution"] = _choice(registry.offers(Kind.EXECUTION), "auto")
    properties["attention"] = _choice(registry.offers(Kind.ATTENTION), "auto")
    parsers = {"anyOf": [{"type": "null"}, {"enum": _names(registry.offers(Kind.PARSER), AUTO_PARSER, NO_PARSER)}]}
    for section in (properties, definitions["PromptSpec"]["properties"]):
        section["parser"] = {**parsers, "description": section["parser"]["description"]}
    quantization = _choice(registry.offers(Kind.QUANTIZATION))
    model["quantization"] = {"anyOf": [{"type": "null"}, *quantization["anyOf"]]}
    model["wrapper"] = _choice(registry.offers(Kind.WRAPPER), "auto")
    properties["samplers"] = {"type": "array", "items": _choice(registry.offers(Kind.SAMPLER), "default")}
    sampling = _sampling(registry)
    properties["sampling"] = sampling
    definitions["PromptSpec"]["properties"]["sampling"] = sampling
    definitions["ServeSpec"]["properties"]["routes"] |= {"items": _choice(registry.offers(Kind.ROUTES), "default")}
    definitions.pop("ComponentRef", None)
    # A prompt may be written short; pydantic's schema knows only the long form.
    prompts = properties["prompts"]
    short = [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}, {"$ref": "#/$defs/PromptSpec"}]
    properties["prompts"] = {
        "anyOf": [{"type": "array", "items": {"anyOf": short}}, {"$ref": "#/$defs/PromptFile"}],
        "description": prompts.get("description", "prompts, or the file that has them"),
    }
    return schema


def _choice(offers: Sequence[RegisteredComponent], *words: str) -> dict[str, Any]:
    # anyOf, not oneOf: two distributions may offer one name with equal options.
    forms: list[dict[str, Any]] = [{"enum": _names(offers, *words)}]
    for offer in offers:
        options = offer.options_model().model_json_schema()
        forms.append(
            {
                "type": "object",
                "title": offer.qualified,
                "description": offer.component.summary,
                "properties": {
                    "name": {"enum": [offer.name, offer.qualified, *offer.component.aliases]},
                    "options": options,
                },
                "required": ["name"],
                "additionalProperties": False,
            }
        )
    return {"anyOf": forms}


def _names(offers: Sequence[RegisteredComponent], *words: str) -> list[str]:
    """All that a spec may write for one of several components."""
    return [
        *words,
        *sorted({name for offer in offers for name in (offer.name, offer.qualified, *offer.component.aliases)}),
    ]


def _sampling(registry: Registry) -> dict[str, Any]:
    schema = SamplingParams.model_json_schema()
    schema["properties"].pop("extra")
    schema["properties"]["stop"]["anyOf"].append({"type": "string"})
    for offer in registry.offers():
        try:
            params = offer.params_model()
        except PluginError:
            continue  # reported when a spec uses it
        if params is not None:
            own = params.model_json_schema().get("properties", {})
            schema["properties"] = {**own, **schema["properties"]}
    return schema
