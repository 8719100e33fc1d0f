"""A span for each request, through OpenTelemetry: who exports them is configured as for any program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugtron.contracts.routes import Routes, Service
from plugtron.plugin.options import Options
from plugtron.serve.middleware.request_log import noted_requests

__all__ = ["Traces"]

#: The first status that is the server's own fault.
_FAULT = 500


class Traces(Routes):
    """Continues the trace that a client's `traceparent` begins, or begins one.

    Attributes have the names of OpenTelemetry's conventions for generative AI.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    @classmethod
    def assemble(cls, service: Service, options: Options) -> Self:
        """Make it; there are no options."""
        del options
        return cls(service.models[0])

    def middleware(self) -> Sequence[Middleware]:
        """What makes the spans."""
        return (Middleware(_Traced, tracer=trace.get_tracer("plugtron"), model=self._model),)


class _Traced:
    def __init__(self, app: ASGIApp, tracer: Tracer, model: str) -> None:
        self._app = app
        self._tracer = tracer
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = propagate.extract(Headers(scope=scope))
        name = f"{scope['method']} {scope['path']}"
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        with self._tracer.start_as_current_span(name, parent, kind=SpanKind.SERVER, attributes=attributes) as span:

            async def with_status(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _FAULT:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await self._app(scope, receive, with_status)
            finally:
                self._describe(span, scope)

    def _describe(self, span: Span, scope: Scope) -> None:
        """What is known of the requests that it has made."""
        requests = noted_requests(scope)
        if not requests:
            return
        sequences = [sequence for request in requests for sequence in request.sequences]
        span.set_attributes(
            {
                "gen_ai.provider.name": "plugtron",
                "gen_ai.request.model": self._model,
                "gen_ai.usage.input_tokens": sum(len(request.prompt_tokens) for request in requests),
                "gen_ai.usage.output_tokens": sum(len(sequence.tokens) for sequence in sequences),
                "gen_ai.response.finish_reasons": [str(sequence.finish_reason) for sequence in sequences],
            }
        )
        firsts = [request.timings.time_to_first_token for request in requests]
        known = [each for each in firsts if each is not None]
        if known:
            span.set_attribute("gen_ai.server.time_to_first_token", min(known))
