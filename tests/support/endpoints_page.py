"""docs/endpoints.md: every endpoint with every field of its body, from their declarations.

`make endpoints` writes it.
"""

import json

from plugtron.plugin.component import Kind
from plugtron.plugin.manager import PluginManager
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.fields import GenerationBody
from plugtron.spec.serve import DEFAULT_ROUTES

HEAD = """# Endpoints

Made from the declarations in `core/plugtron/serve` (`make endpoints`). Bodies are JSON objects; null is the same as
leaving a field out. The same for programs is at `/openapi.json`, with the sampling parameters that a run's parts use.
"""
#: Words of a type, by what JSON Schema has for it.
_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}


def page():
    """The text of the page."""
    return "\n".join([*_lines(), ""])


def _lines():
    yield from HEAD.splitlines()
    registry = PluginManager(builtins_only=True).registry
    for name in (*DEFAULT_ROUTES, "control"):
        endpoints = [each for each in _routes(registry.find(Kind.ROUTES, name)) if isinstance(each, Endpoint)]
        for endpoint in endpoints:
            yield from _described(endpoint, name)


def _routes(offer):
    """The routes of a component, of a service that is never asked."""
    target = offer.load()
    return target.assemble(_Nobody(), offer.options_model()()).routes()


def _described(endpoint, component):
    yield from ("", f"## `{endpoint.method} {endpoint.path.replace(':path', '')}`", "")
    yield f"{endpoint.summary[0].upper()}{endpoint.summary[1:]} (component `{component}`)."
    if endpoint.form is None:
        return
    schema = endpoint.form.model_json_schema()
    yield from ("", "| field | type | |", "|---|---|---|")
    for name, declared in schema["properties"].items():
        required = "required; " if name in schema.get("required", ()) else ""
        yield f"| `{name}` | {_type(declared)} | {required}{declared.get('description', '')} |"
    if issubclass(endpoint.form, GenerationBody):
        yield from ("", "All other fields are sampling parameters (docs/sampling.md).")


def _type(declared):
    if "$ref" in declared:
        return "mapping"
    if "anyOf" in declared:
        kinds = dict.fromkeys(_type(each) for each in declared["anyOf"] if each != {"type": "null"})
        return " or ".join(kinds)
    if "enum" in declared or "const" in declared:
        return " or ".join(f"`{json.dumps(each)}`" for each in declared.get("enum", [declared.get("const")]))
    if declared.get("type") == "array":
        return f"list of {_type(declared.get('items', {}))}"
    return _TYPES.get(declared.get("type"), "mapping")


class _Nobody:
    """A service for those that ask it for nothing before there is a request."""

    def __init__(self):
        self.settings = {}


if __name__ == "__main__":
    print(page(), end="")
