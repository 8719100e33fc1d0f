"""The service that endpoints answer from: one session, stepped by an AsyncEngine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from plugtron.assembly.session import Session
from plugtron.contracts.parser import Parser
from plugtron.contracts.routes import Service
from plugtron.contracts.stats import EngineStats
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.engine.async_engine import AsyncEngine
from plugtron.errors import EngineError, OverloadError, RequestError
from plugtron.parallel.runtime import Runtime
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest, Prompt, RequestOutput
from plugtron.request.sampling_params import SamplingParams
from plugtron.serve.metrics import ServerMetrics
from plugtron.spec.chat_defaults import chat_defaults
from plugtron.spec.dump import plain_data

__all__ = ["SessionService"]

#: Requests that are remembered after their end, for the page that shows them.
_REMEMBERED = 200


class SessionService(Service):
    """Serves a session.

    Args:
        models: names of the model, at least one.
        max_requests: how many may be open at once.
        ends_chats: whether the spec says how many tokens an answer has. If not, answers to chats may be as long as
            the context has room for.
    """

    def __init__(
        self,
        session: Session,
        engine: AsyncEngine,
        *,
        models: Sequence[str],
        max_requests: int,
        ends_chats: bool,
    ) -> None:
        self.session = session
        self.control = session.control
        self.models = tuple(models)
        self.settings: Mapping[str, Any] = plain_data(session.resolved)
        self._counts = ServerMetrics(session, self.models[0])
        self.metrics = self._counts.registry
        self._open: set[InferenceRequest] = set()
        self._recent: deque[InferenceRequest] = deque(maxlen=_REMEMBERED)
        self.components = tuple(chosen.offer for chosen in session.resolved.components)
        self.plugins = tuple(session.manager.plugins)
        self.finished = 0
        self.failed = 0
        self._engine = engine
        self.max_requests = max_requests
        spec = session.resolved.spec
        self._defaults = SamplingParams.from_flat(spec.sampling)
        self._chat_defaults = self._defaults
        if not ends_chats:
            self._chat_defaults = SamplingParams(max_tokens=-1).over(self._defaults)
        self._chat = chat_defaults(spec)

    @property
    def open_requests(self) -> Collection[InferenceRequest]:
        """Those that wait or run."""
        return self._open

    @property
    def recent_requests(self) -> Sequence[InferenceRequest]:
        """The last ones that have ended, oldest first."""
        return self._recent

    @property
    def runtime(self) -> Runtime:
        """The device, the dtype and the ranks."""
        return self.session.parts.runtime

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer."""
        return self.session.parts.tokenizer

    @property
    def stats(self) -> EngineStats | None:
        """What the engine counts of its work."""
        return self.session.engine.stats

    @property
    def why_not_ready(self) -> str:
        """Why no request can be answered at the moment."""
        return self.session.engine.why_not_ready

    @property
    def max_sequence_length(self) -> int | None:
        """How long a sequence may get."""
        return self.session.engine.max_sequence_length

    def new_request(
        self,
        prompt: Prompt,
        parameters: Mapping[str, Any],
        *,
        chat: ChatOptions | None = None,
        priority: int = 0,
        deadline: float | None = None,
        cache_salt: str = "",
    ) -> InferenceRequest:
        """Make a request; what it leaves out is as the spec has it."""
        defaults = self._defaults if chat is None else self._chat_defaults
        params = SamplingParams.from_flat(parameters).over(defaults)
        chat = None if chat is None else chat.over(self._chat)
        self.session.check_parser(chat)
        return InferenceRequest(
            prompt=prompt, params=params, chat=chat, priority=priority, deadline=deadline, cache_salt=cache_salt
        )

    async def admit(self, request: InferenceRequest) -> None:
        """Check and tokenize a request."""
        if request in self.open_requests:
            return
        self._check_load()
        if not request.prepared:
            await asyncio.to_thread(self.session.prepare_request, request)
        if request.error is not None:
            self._counts.refused()
            raise RequestError(request.error)

    async def stream(self, request: InferenceRequest, *, whole: bool = False) -> AsyncGenerator[RequestOutput, None]:
        """Run a request and yield what is added to it. Closing the generator aborts the request.

        Args:
            whole: whether all that there is of an answer comes at its end, as one output.
        """
        await self.admit(request)
        self._check_load()  # again: others may have been admitted meanwhile, and begun
        self._open.add(request)
        try:
            async with aclosing(self._engine.stream(request, whole=whole)) as outputs:
                async for output in outputs:
                    yield output
            if request.error is not None:
                raise RequestError(request.error) if request.refused else EngineError(request.error)
        finally:
            self._open.discard(request)
            self._recent.append(request)
            self.finished += request.error is None
            self.failed += request.error is not None
            self._counts.finished(request)

    def _check_load(self) -> None:
        if len(self.open_requests) >= self.max_requests:
            raise OverloadError(f"{self.max_requests} requests are open, which is as many as this server takes")

    async def generate(self, request: InferenceRequest) -> InferenceRequest:
        """Run a request to its end."""
        async with aclosing(self.stream(request, whole=True)) as outputs:
            async for _ in outputs:
                pass
        return request

    def parser(self, request: InferenceRequest) -> Parser | None:
        """Make the parser of one answer to a request that has been admitted."""
        return None if self.tokenizer is None else self.session.parser(request)
