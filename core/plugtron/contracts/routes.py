"""Endpoints of a server, and the service that they answer from. Torch-free, and free of Starlette until it is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from plugtron.contracts.control import Control
from plugtron.contracts.parser import Parser
from plugtron.contracts.stats import EngineStats
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.plugin.registry import RegisteredComponent
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest, Prompt, RequestOutput

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from plugtron.parallel.runtime import Runtime
    from plugtron.plugin.discovery import Plugin

__all__ = ["Routes", "Service"]


class Service(ABC):
    """A model that is served: what endpoints make requests of, and run them with. Of the server's event loop.

    Attributes:
        max_requests: how many may be open at once.
        models: the names under which clients may ask for it; the first is the one that answers show.
        settings: the resolved spec as plain data.
        metrics: what /metrics shows; endpoints may register their own.
        components: what the spec has chosen, in its order.
        plugins: all that were found, with their states.
        control: pauses the model, and the like.
    """

    max_requests: int
    models: Sequence[str]
    settings: Mapping[str, Any]
    metrics: CollectorRegistry
    components: Sequence[RegisteredComponent]
    plugins: Sequence[Plugin]
    control: Control

    @property
    @abstractmethod
    def open_requests(self) -> Collection[InferenceRequest]:
        """Requests that wait or run. They change while they are looked at: the engine's thread writes to them."""

    @property
    @abstractmethod
    def recent_requests(self) -> Sequence[InferenceRequest]:
        """The last ones that have ended, oldest first."""

    @property
    @abstractmethod
    def runtime(self) -> Runtime:
        """The device, the dtype and the ranks."""

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer; None where prompts are token ids."""

    @property
    @abstractmethod
    def stats(self) -> EngineStats | None:
        """What the engine counts of its work; None: it keeps no account."""

    @property
    def why_not_ready(self) -> str:
        """Say why no request can be answered at the moment; nothing where they can."""
        return ""

    @property
    @abstractmethod
    def max_sequence_length(self) -> int | None:
        """How long a sequence may get, prompt and answer together; None: the engine does not say."""

    @abstractmethod
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
        """Make a request; what it leaves out is as the spec has it.

        Args:
            parameters: sampling parameters by name, those of plugins among them.

        Raises:
            RequestError: a parameter is unknown, or its value wrong.
        """

    @abstractmethod
    async def admit(self, request: InferenceRequest) -> None:
        """Check and tokenize a request, before an answer is begun. `stream` and `generate` do it otherwise.

        Raises:
            RequestError: it cannot run; with the reason.
            OverloadError: the server has as many requests as it takes.
        """

    @abstractmethod
    def stream(self, request: InferenceRequest) -> AsyncGenerator[RequestOutput, None]:
        """Run a request and yield what is added to it. Closing the generator aborts the request.

        Raises:
            RequestError, OverloadError: as `admit`.
            EngineError: the engine cannot go on, or the request failed while it ran.
        """

    @abstractmethod
    async def generate(self, request: InferenceRequest) -> InferenceRequest:
        """Run a request to its end.

        Raises:
            RequestError, OverloadError, EngineError: as `stream`.
        """

    @abstractmethod
    def parser(self, request: InferenceRequest) -> Parser | None:
        """Make the parser of one answer to a request that has been admitted; None where no parser knows its template.

        Raises:
            RequestError: the request names a parser that is not there.
        """


class Routes:
    """Endpoints, or what stands before all of them. Made once, when the model has been loaded.

    A component of this kind names a class whose `assemble(service, options)` makes one, or a function of the same.
    Handlers are coroutines of the server's event loop: what takes longer than a millisecond belongs into a thread.
    A handler may raise `plugtron.serve.ApiError` for an error in OpenAI's form; a RequestError becomes status 400.

    Args:
        service: what they answer from.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    @classmethod
    def assemble(cls, service: Service, options: Any) -> Self:
        """Make them of a service; to be overridden where there are options."""
        del options
        return cls(service)

    def routes(self) -> Sequence[BaseRoute]:
        """The endpoints, in Starlette's terms. Of two for one path, the first component's in the spec is asked."""
        return ()

    def middleware(self) -> Sequence[Middleware]:
        """ASGI middleware around all endpoints, other components' included. Optional."""
        return ()

    async def run(self, endpoints: ASGIApp) -> None:
        """Do background work, from when the server is ready until it stops, which cancels this. Optional.

        Args:
            endpoints: those of all components as an application, without what stands before them.

        Raises:
            PlugtronError: the server cannot go on; it ends with that error.
        """
        del endpoints

    async def close(self) -> None:
        """Give back what it holds: the server is stopping, and no request is open any more. Optional."""
        return
