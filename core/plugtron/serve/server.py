"""From a resolved spec to a server that listens, and to its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from plugtron.assembly.session import Session
from plugtron.contracts.routes import Routes
from plugtron.engine.async_engine import AsyncEngine
from plugtron.errors import ParallelError, SpecError
from plugtron.serve.api_error import ApiError
from plugtron.serve.application import error_response, make_application
from plugtron.serve.build import build_routes
from plugtron.serve.http_protocol import BoundedHttpProtocol
from plugtron.serve.service import SessionService
from plugtron.spec.serve import ServeSpec

__all__ = ["Server", "bind"]

#: Seconds between two looks at the other ranks' processes.
_WATCH_S = 1.0


def bind(settings: ServeSpec) -> socket.socket:
    """Take the address, before anything is loaded that it would be a pity about.

    Raises:
        SpecError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SpecError(f"serve: cannot listen on {settings.host} port {settings.port}: {reason}") from None
    return listener


class Server:
    """Listens while the model is loaded, answers requests, and stops when it is told to, or when the engine fails.

    Args:
        load: makes the session; runs in a thread.
        models: names under which the model is served.
        ends_chats: as of `SessionService`.

    Raises:
        SpecError: certificate or key cannot be used.
    """

    def __init__(
        self,
        settings: ServeSpec,
        listener: socket.socket,
        load: Callable[[], Session],
        *,
        models: Sequence[str],
        ends_chats: bool,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._load = load
        self._models = models
        self._ends_chats = ends_chats
        self._application: ASGIApp | None = None
        self._stopping = asyncio.Event()
        self._failure: Exception | None = None
        self._uvicorn = _Uvicorn(self._config())
        try:
            self._uvicorn.config.load()
        except OSError as error:  # ssl.SSLError is one
            named = f"serve.tls_certificate {settings.tls_certificate}, serve.tls_key {settings.tls_key}"
            raise SpecError(f"{named}: {error.strerror or error}") from None

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port, *_ = self._listener.getsockname()
        scheme = "http" if self._settings.tls_certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def run(self, *, on_ready: Callable[[], None]) -> bool:
        """Serve until a signal, or until the engine fails.

        Returns:
            Whether the model was loaded: a signal before that leaves the thread that loads it behind.

        Raises:
            PlugtronError: the model cannot be loaded, or the engine has failed.
        """
        self._take_signals()
        listening = asyncio.ensure_future(self._uvicorn.serve(sockets=[self._listener]))
        listening.add_done_callback(lambda _: self._stopping.set())
        try:
            session = await self._loaded()
            if session is None:
                return False
            self._take_signals()  # again: libraries, such as Ray, put handlers of their own in place
            with session:
                await self._serve(session, on_ready)
        finally:
            self._uvicorn.should_exit = True
            await listening
        if self._failure is not None:
            raise self._failure
        return True

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)

    async def _loaded(self) -> Session | None:
        loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return loading.result() if loading.done() else None

    def stop(self) -> None:
        """Take no more requests; those that are open may finish. The second call ends those, too."""
        if self._stopping.is_set():
            self._uvicorn.force_exit = True
        self._stopping.set()

    async def _serve(self, session: Session, on_ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def failed(error: Exception) -> None:
            with suppress(RuntimeError):  # the loop has ended before the engine's thread
                loop.call_soon_threadsafe(self._fail, error)

        with AsyncEngine(session, on_failure=failed) as engine:
            service = SessionService(
                session,
                engine,
                models=self._models,
                max_requests=self._settings.max_requests,
                ends_chats=self._ends_chats,
            )
            parts = build_routes(service, session.resolved)
            application = make_application(parts, max_body_bytes=self._settings.max_body_bytes)
            session.announce()
            inner = make_application(parts, max_body_bytes=self._settings.max_body_bytes, guarded=False)
            own_work = [asyncio.ensure_future(self._run_part(part, inner)) for part in parts]
            self._application = application
            on_ready()
            watching = asyncio.ensure_future(self._watch(session))
            await self._stopping.wait()
            for task in (watching, *own_work):
                task.cancel()
            await asyncio.gather(*own_work, return_exceptions=True)  # what failed has been noted
            await self._drain(service, parts)
        session.conclude(finished=service.finished, failed=service.failed, interrupted=bool(service.open_requests))

    async def _run_part(self, part: Routes, endpoints: ASGIApp) -> None:
        """Have a component do what it does by itself."""
        try:
            await part.run(endpoints)
        except Exception as error:
            self._fail(error)

    async def _drain(self, service: SessionService, parts: Sequence[Routes]) -> None:
        """Wait for open requests to end, up to the deadline; then end them."""
        self._uvicorn.should_exit = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.drain_seconds
        while service.open_requests and loop.time() < deadline and self._failure is None:
            if self._uvicorn.force_exit:
                break
            await asyncio.sleep(0.02)
        for part in parts:
            await part.close()

    async def _watch(self, session: Session) -> None:
        """See while nothing is asked whether the other ranks are still there."""
        while True:
            await asyncio.sleep(_WATCH_S)
            ended = session.lost_rank()
            if ended:
                self._fail(ParallelError(ended))

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._stopping.set()

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or say why it cannot be answered now."""
        path = scope.get("path")
        unready = self._application is None or (self._stopping.is_set() and path != "/metrics")
        if unready and path != "/health":
            reason = "the server is stopping" if self._stopping.is_set() else "the model is being loaded"
            if path in ("/", "/plugtron") and _is_browser(scope):
                await _waiting_page(reason)(scope, receive, send)
                return
            error = ApiError(HTTPStatus.SERVICE_UNAVAILABLE, reason, code="unavailable", headers={"Retry-After": "1"})
            await error_response(error)(scope, receive, send)
        elif self._application is None:
            await _loading(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._dispatch,
            interface="asgi3",
            proxy_headers=False,
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=4096,
            timeout_keep_alive=75,
            # Those whose answers are complete may still be sending them.
            timeout_graceful_shutdown=int(self._settings.drain_seconds) + 2,
            ssl_certfile=self._settings.tls_certificate,
            ssl_keyfile=self._settings.tls_key,
        )


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the Server, which has requests to finish first."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections until `should_exit`."""
        await self._serve(sockets)


def _is_browser(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope.get("headers", ()))


def _waiting_page(reason: str) -> ASGIApp:
    """What a browser shows in place of a page, and asks for again every second."""
    from starlette.responses import HTMLResponse

    text = (
        '<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="refresh" content="1"><title>plugtron</title><p>{reason} ...</p>'
    )
    return HTMLResponse(text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1", "Cache-Control": "no-store"})


async def _loading(scope: Scope, receive: Receive, send: Send) -> None:
    from starlette.responses import JSONResponse

    await JSONResponse({"status": "loading"})(scope, receive, send)
