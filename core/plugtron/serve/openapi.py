"""/openapi.json: what all endpoints take, as the OpenAPI Specification 3.1 has it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from plugtron.contracts.routes import Routes
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.fields import GenerationBody
from plugtron.serve.parameters import service_parameters

__all__ = ["OpenApiRoutes", "describe"]

_REFERENCE = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"{(\w+)(?::\w+)?}")


class OpenApiRoutes(Routes):
    """The description of all endpoints, other components' included."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoint."""
        return (Endpoint("/openapi.json", self._document, "this description"),)

    async def _document(self, http: Request) -> Response:
        parameters = await asyncio.to_thread(service_parameters, self.service)
        return JSONResponse(describe(http.app.routes, parameters))


def describe(routes: Sequence[BaseRoute], parameters: dict[str, Any]) -> dict[str, Any]:
    """The document of an application.

    Args:
        parameters: the schema of the sampling parameters, which are fields of bodies that generate.
    """
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Error": _ERROR, **parameters.get("$defs", {})}
    for route in routes:
        if isinstance(route, Endpoint):
            operation = _operation(route, parameters, schemas)
            paths.setdefault(_VARIABLE.sub(r"{\1}", route.path), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "plugtron", "version": version("plugtron")},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type"],
        }
    },
    "required": ["error"],
}


def _operation(route: Endpoint, parameters: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "responses": {
            "200": {"description": "the answer", "content": {route.answers: {}}},
            "default": {
                "description": "an error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    names = _VARIABLE.findall(route.path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if route.form is not None:
        schema = {"$ref": _REFERENCE.format(model=_add(route.form, parameters, schemas))}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _add(form: type[BaseModel], parameters: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Put the schema of a form among the others, and return its name."""
    schema = form.model_json_schema(ref_template=_REFERENCE)
    schemas |= schema.pop("$defs", {})
    if issubclass(form, GenerationBody):
        schema["properties"] = {**parameters["properties"], **schema["properties"]}
        schema["additionalProperties"] = False
    schemas[form.__name__] = schema
    return form.__name__
