"""/v1/responses"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes, Service
from plugtron.errors import PlugtronError
from plugtron.request.request import InferenceRequest, Message
from plugtron.serve.answer_reader import ToolChoice
from plugtron.serve.api_error import as_api_error
from plugtron.serve.blocks import Blocks, changes, finish
from plugtron.serve.body import read_body
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.event_stream import EventStream, event, gone, unless_client_leaves
from plugtron.serve.middleware.request_log import note
from plugtron.serve.openai.fields import check_model
from plugtron.serve.options import ResponsesOptions
from plugtron.serve.responses.conversation import answer_messages, input_messages
from plugtron.serve.responses.fields import ResponsesBody
from plugtron.serve.responses.response import ResponseForm
from plugtron.serve.responses.response_request import response_request, response_tool_choice
from plugtron.serve.responses.store import ResponseStore, Stored

__all__ = ["ResponsesRoutes"]


class ResponsesRoutes(Routes):
    """Responses, whole and streamed; the latest are stored, to be gone on from."""

    def __init__(self, service: Service, options: ResponsesOptions) -> None:
        super().__init__(service)
        self._store = ResponseStore(options.stored, options.stored_bytes)

    @classmethod
    def assemble(cls, service: Service, options: ResponsesOptions) -> Self:
        """Make them."""
        return cls(service, options)

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/v1/responses", self._answer, "an answer, or what it goes on with", form=ResponsesBody),
            Endpoint("/v1/responses/{id}", self._stored, "a stored response"),
            Endpoint("/v1/responses/{id}", self._delete, "forget a stored response", method="DELETE"),
        )

    async def _stored(self, http: Request) -> Response:
        return JSONResponse(self._store.get(http.path_params["id"]).response)

    async def _delete(self, http: Request) -> Response:
        response_id = http.path_params["id"]
        self._store.delete(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    async def _answer(self, http: Request) -> Response:
        body = await read_body(http, ResponsesBody)
        model = check_model(self.service, body.model)
        choice = response_tool_choice(body)
        earlier: Sequence[Message] = ()
        if body.previous_response_id is not None:
            earlier = self._store.get(body.previous_response_id, "previous_response_id").messages
        said = [*earlier, *input_messages(body.input)]
        instructions = [] if body.instructions is None else [{"role": "system", "content": body.instructions}]
        request = response_request(self.service, body, [*instructions, *said], choice)
        note(http, [request], model=model, user=body.user)
        await self.service.admit(request)
        form = ResponseForm(body, model, request, self.service.tokenizer)
        blocks = Blocks(parallel=body.parallel_tool_calls is not False)
        if body.stream:
            return EventStream(self._events(request, choice, blocks, form, body, said))
        if not await unless_client_leaves(http, finish(self.service, request, choice, blocks)):
            return gone()
        return JSONResponse(self._ended(form, blocks, body, said))

    def _ended(
        self, form: ResponseForm, blocks: Blocks, body: ResponsesBody, said: Sequence[Message]
    ) -> dict[str, Any]:
        response = form.whole(blocks.all)
        if body.store is not False:
            self._store.put(Stored(response, [*said, *answer_messages(blocks.all)]))
        return response

    async def _events(
        self,
        request: InferenceRequest,
        choice: ToolChoice | None,
        blocks: Blocks,
        form: ResponseForm,
        body: ResponsesBody,
        said: Sequence[Message],
    ) -> AsyncGenerator[bytes, None]:
        numbers = count()

        def numbered(data: dict[str, Any]) -> bytes:
            return event({**data, "sequence_number": next(numbers)}, data["type"])

        for name in ("created", "in_progress"):
            yield numbered({"type": f"response.{name}", "response": form.whole((), "in_progress")})
        try:
            async with aclosing(changes(self.service, request, choice, blocks)) as found:
                async for change in found:
                    for data in form.events(change):
                        yield numbered(data)
        except PlugtronError as error:
            told = as_api_error(error)
            failed = {**form.whole(blocks.all, "failed"), "error": {"code": told.type, "message": told.message}}
            yield numbered({"type": "response.failed", "response": failed})
            return
        response = self._ended(form, blocks, body, said)
        yield numbered({"type": f"response.{response['status']}", "response": response})
