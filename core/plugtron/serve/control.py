"""Pausing, sleeping and other weights over HTTP, for those who train the model that is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.errors import CheckpointError, EngineError, PluginError, RequestError, SpecError
from plugtron.serve.body import read_body
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.fields import Fields

__all__ = ["ControlRoutes"]

#: What is told to whoever asked for something that cannot be: the model goes on as before.
_REFUSALS = (CheckpointError, EngineError, PluginError, SpecError)


class Nothing(Fields):
    """A body without fields."""


class SleepBody(Fields):
    """The body of /sleep."""

    weights: bool = Field(default=False, description="give back the memory of the weights, too; /wake reads them again")


class WeightsBody(Fields):
    """The body of /update_weights."""

    path: str = Field(min_length=1, description="a checkpoint of the same model, where the server is")
    version: int | None = Field(
        default=None, ge=0, lt=2**53, description="of these weights; by default one more than before, from 0"
    )
    recompute: bool = Field(default=True, description="compute what running requests have in memory with these weights")


class ControlRoutes(Routes):
    """/pause, /resume, /sleep, /wake, /update_weights and /control. They act for all: not among the defaults."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/control", self._show, "whether the model is paused or asleep, and the version of its weights"),
            Endpoint("/pause", self._pause, "do no more steps; requests stay as they are, new ones wait", form=Nothing),
            Endpoint("/resume", self._resume, "do steps again", form=Nothing),
            Endpoint("/sleep", self._sleep, "give back memory, and do no steps", form=SleepBody),
            Endpoint("/wake", self._wake, "take memory again, and do steps", form=Nothing),
            Endpoint(
                "/update_weights",
                self._update,
                "use other weights from the next step on",
                form=WeightsBody,
            ),
        )

    async def _show(self, http: Request) -> Response:
        del http
        return self._state()

    async def _pause(self, http: Request) -> Response:
        await read_body(http, Nothing)
        return await self._do(self.service.control.pause)

    async def _resume(self, http: Request) -> Response:
        await read_body(http, Nothing)
        return await self._do(self.service.control.resume)

    async def _sleep(self, http: Request) -> Response:
        body = await read_body(http, SleepBody)
        return await self._do(lambda: self.service.control.sleep(weights=body.weights))

    async def _wake(self, http: Request) -> Response:
        await read_body(http, Nothing)
        return await self._do(self.service.control.wake)

    async def _update(self, http: Request) -> Response:
        body = await read_body(http, WeightsBody)
        update = self.service.control.update_weights
        return await self._do(lambda: update(Path(body.path), version=body.version, recompute=body.recompute))

    async def _do(self, work: Callable[[], Any]) -> Response:
        """Wait in a thread for what waits for the step that is going on."""
        try:
            await asyncio.to_thread(work)
        except _REFUSALS as error:
            raise RequestError(str(error)) from None
        return self._state()

    def _state(self) -> Response:
        control = self.service.control
        return JSONResponse(
            {"paused": control.is_paused, "asleep": control.is_asleep, "weights_version": control.weights_version}
        )
