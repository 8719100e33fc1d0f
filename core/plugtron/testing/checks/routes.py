"""What endpoints of a server, and middleware around them, have to keep to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from plugtron.contracts.routes import Routes, Service
from plugtron.plugin.component import Kind
from plugtron.testing.asgi import ask
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["RouteCase", "RoutesChecks", "ServedRoutes"]

#: Bodies that are no request.
_NONSENSE = (b"", b"{", b"[]", b"null", b"\xff", b'{"\\ud800": 1}', b"[" * 10_000)
_SERVER_ERROR = 500


class RouteCase(NamedTuple):
    """A request, and the status of its response. A `body` that is no bytes is sent as JSON."""

    method: str
    path: str
    body: Any
    status: int


@dataclass(frozen=True, slots=True)
class ServedRoutes:
    """A component in a server of a small random model; `plain` is a server of the same without it."""

    part: Routes
    service: Service
    application: Any
    plain: Any


class RoutesChecks(ComponentChecks):
    """All routes pass these.

    Attributes:
        cases: requests with the status of their responses.
        headers: what all requests send, such as a key.
        patience: seconds until what clients that have left had begun must be over.
    """

    kind: ClassVar[Kind] = Kind.ROUTES
    cases: ClassVar[Sequence[RouteCase]]
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    patience: ClassVar[float] = 60.0

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[ServedRoutes]:
        """The component beside plugtron's own endpoints."""
        # Imported here: a kit without the extra `serve` has other kinds to check.
        from plugtron.engine.async_engine import AsyncEngine
        from plugtron.serve.application import make_application
        from plugtron.serve.build import build_routes
        from plugtron.serve.service import SessionService

        named = ["openai", cls.reference(host)]
        values = {
            "model": {"checkpoint": str(model("plain")), "dtype": "float32"},
            "execution": "eager",
            "engine": "dynamic",
            "serve": {"routes": named},
        }
        with host.session(values) as session, AsyncEngine(session) as engine:
            service = SessionService(session, engine, models=["model"], max_requests=64, ends_chats=False)
            plain, part = build_routes(service, session.resolved)
            both, alone = (make_application(parts, max_body_bytes=2**20) for parts in ([plain, part], [plain]))
            yield ServedRoutes(part, service, both, alone)
            asyncio.run(part.close())

    def test_does_something(self, plugtron_subject: ServedRoutes) -> None:
        """It has endpoints or middleware, in Starlette's terms."""
        from starlette.middleware import Middleware
        from starlette.routing import BaseRoute

        routes, middleware = plugtron_subject.part.routes(), plugtron_subject.part.middleware()
        for each, expected in (*((each, BaseRoute) for each in routes), *((each, Middleware) for each in middleware)):
            if not isinstance(each, expected):
                refuse(f"{each!r} is no {expected.__module__}.{expected.__name__}")
        if not routes and not middleware:
            refuse("it has neither endpoints nor middleware")

    def test_answers(self, plugtron_subject: ServedRoutes) -> None:
        """The requests of `cases` are answered with their status."""
        if not self.cases:
            refuse("cases is empty: give at least one request")
        for case in self.cases:
            answered = ask(plugtron_subject.application, case.method, case.path, case.body, headers=self.headers)
            if answered.status != case.status:
                found = f"status {answered.status}, not {case.status}: {answered.body!r:.200}"
                refuse(f"{case.method} {case.path} has {found}")

    def test_bad_bodies(self, plugtron_subject: ServedRoutes) -> None:
        """A body that is no request is the client's fault: no status of 500 and above, and nothing raised."""
        for case in self.cases:
            for body in _NONSENSE if case.method == "POST" else ():
                try:
                    answered = ask(plugtron_subject.application, "POST", case.path, body, headers=self.headers)
                except Exception as error:
                    refuse(f"POST {case.path} with {body!r:.20} raises {type(error).__name__}: {error}")
                if answered.status >= _SERVER_ERROR:
                    refuse(f"POST {case.path} with {body!r:.20} has status {answered.status}")

    def test_lets_others_answer(self, plugtron_subject: ServedRoutes) -> None:
        """plugtron's own endpoints answer as they do without it."""
        body = {"prompt": [5, 6, 7], "max_tokens": 4, "temperature": 0}
        with_it, without = (
            ask(application, "POST", "/v1/completions", body, headers=self.headers)
            for application in (plugtron_subject.application, plugtron_subject.plain)
        )
        if with_it.status != without.status or _choices(with_it.body) != _choices(without.body):
            refuse(f"/v1/completions is answered with {with_it.body!r:.200}, and without it with {without.body!r:.200}")

    def test_leaves_nothing(self, plugtron_subject: ServedRoutes) -> None:
        """When its requests have been answered, and when their clients have left, the engine has nothing to do."""
        for case in self.cases:
            for leaves in (False, True):
                application = plugtron_subject.application
                ask(application, case.method, case.path, case.body, headers=self.headers, leaves=leaves)
        until = time.monotonic() + self.patience
        while (stats := plugtron_subject.service.stats) is not None and stats.running + stats.waiting:
            if time.monotonic() > until:
                refuse(f"{stats.running} sequences run on and {stats.waiting} wait after their clients have left")
            time.sleep(0.01)

    def test_closes(self, plugtron_subject: ServedRoutes) -> None:
        """It can be closed, and once more."""
        for _ in range(2):
            try:
                asyncio.run(plugtron_subject.part.close())
            except Exception as error:
                refuse(f"closing it raises {type(error).__name__}: {error}")


def _choices(body: bytes) -> Any:
    try:
        return json.loads(body)["choices"]
    except (ValueError, LookupError, TypeError):
        return body
