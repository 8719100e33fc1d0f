"""A model behind HTTP: endpoints as components, the server around them. Needs the extra `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.serve.api_error import ApiError
    from plugtron.serve.body import read_body, read_json
    from plugtron.serve.endpoint import Endpoint
    from plugtron.serve.event_stream import EventStream, event, unless_client_leaves

__all__ = ["ApiError", "Endpoint", "EventStream", "event", "read_body", "read_json", "unless_client_leaves"]

_HOMES = {
    "ApiError": "plugtron.serve.api_error",
    "Endpoint": "plugtron.serve.endpoint",
    "EventStream": "plugtron.serve.event_stream",
    "event": "plugtron.serve.event_stream",
    "read_body": "plugtron.serve.body",
    "read_json": "plugtron.serve.body",
    "unless_client_leaves": "plugtron.serve.event_stream",
}
if not TYPE_CHECKING:
    __getattr__ = loader(__name__, _HOMES)
