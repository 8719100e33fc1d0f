"""Routes that are wrong, each in a way of its own."""

import asyncio
import threading
from contextlib import suppress

from offered import offered
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from plugtron import Component, hookimpl
from plugtron.contracts import Routes
from plugtron.errors import PlugtronError
from plugtron.serve import read_body, unless_client_leaves
from plugtron.testing import RouteCase

CASES = (
    RouteCase("POST", "/go_on", {"prompt": "x"}, 200),
    RouteCase("POST", "/go_on", {}, 400),
    RouteCase("GET", "/go_on", None, 405),
)


class Body(BaseModel):
    prompt: str


class Right(Routes):
    """Goes on from a text."""

    def routes(self):
        return [Route("/go_on", self.answer, methods=["POST"])]

    async def answer(self, http):
        body = await self.read(http)
        request = self.service.new_request(body.prompt, {"max_tokens": 200, "ignore_eos": True})
        await self.run(http, request)
        return JSONResponse({"text": request.text})

    async def read(self, http):
        return await read_body(http, Body)

    async def run(self, http, request):
        await unless_client_leaves(http, self.service.generate(request))


class DoesNothing(Right):
    def routes(self):
        return []


class OffersFunctions(Right):
    def routes(self):
        return [self.answer]

    def middleware(self):
        return []


class Elsewhere(Right):
    def routes(self):
        return [Route("/go_off", self.answer, methods=["POST"])]


class TrustsClients(Right):
    async def read(self, http):
        return Body(**(await http.json()))


class RefusesAll(Right):
    def middleware(self):
        return [Middleware(Wall)]


class Wall:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        app = self.app if scope["path"] == "/go_on" else PlainTextResponse("no", 403)
        await app(scope, receive, send)


class GoesOn(Right):
    """It does not mind whether anybody waits."""

    async def run(self, http, request):
        begun = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.alone(request, begun)), daemon=True).start()
        begun.wait()

    async def alone(self, request, begun):
        long = self.service.new_request(request.prompt, {"max_tokens": 200, "ignore_eos": True, "n": 32})
        with suppress(PlugtronError):  # the kit has closed the engine
            async for _ in self.service.stream(long):
                begun.set()
        begun.set()


class ClosesOnce(Right):
    closed = False

    async def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


NAMES = offered(globals(), Routes)


@hookimpl
def plugtron_routes():
    return [Component(name=name, target=f"{__name__}:{target}", summary="routes") for name, target in NAMES.items()]
