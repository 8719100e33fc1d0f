"""A model's endpoints for batches: in this process, without clients, middleware or limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from plugtron.assembly.session import Session
from plugtron.engine.async_engine import AsyncEngine
from plugtron.serve.application import make_application
from plugtron.serve.batches.in_process import InProcess
from plugtron.serve.build import build_routes
from plugtron.serve.service import SessionService

__all__ = ["model_endpoints"]

#: A line may ask for many answers, each of which counts as a request.
_NO_LIMIT = 2**31


@asynccontextmanager
async def model_endpoints(
    session: Session, *, models: Sequence[str], ends_chats: bool, on_failure: Callable[[Exception], None]
) -> AsyncIterator[InProcess]:
    """Step a session, and answer from it; observers are told of the beginning and the end.

    Args:
        models: names of the model.
        ends_chats: as of `SessionService`.
        on_failure: is told, from the engine's thread, why the engine cannot go on.
    """
    with AsyncEngine(session, on_failure=on_failure) as engine:
        service = SessionService(session, engine, models=models, max_requests=_NO_LIMIT, ends_chats=ends_chats)
        parts = build_routes(service, session.resolved)
        settings = session.resolved.spec.serve
        assert settings is not None, "a spec with endpoints has a section on them"
        session.announce()
        interrupted = True
        try:
            yield InProcess(make_application(parts, max_body_bytes=settings.max_body_bytes, guarded=False))
            interrupted = False
        finally:
            for part in parts:
                await part.close()
            interrupted = interrupted or bool(service.open_requests)
            session.conclude(finished=service.finished, failed=service.failed, interrupted=interrupted)
