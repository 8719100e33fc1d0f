"""The endpoints of OpenAI's API as a component."""

from __future__ import annotations

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes, Service
from plugtron.serve.api_error import ApiError
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.chat import ChatCompletions
from plugtron.serve.openai.completions import Completions
from plugtron.serve.openai.fields import ChatBody, CompletionBody, check_model

__all__ = ["OpenAIRoutes"]


class OpenAIRoutes(Routes):
    """Models, completions and chat completions."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._started = int(time.time())

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint(
                "/v1/completions",
                Completions(self.service).answer,
                "texts that go on from prompts",
                form=CompletionBody,
            ),
            Endpoint(
                "/v1/chat/completions",
                ChatCompletions(self.service).answer,
                "answers to a conversation",
                form=ChatBody,
            ),
            Endpoint("/v1/models", self._models, "the names that a model is served under"),
            Endpoint("/v1/models/{name:path}", self._model, "one of them"),
        )

    async def _models(self, http: Request) -> Response:
        del http
        return JSONResponse({"object": "list", "data": [self._described(name) for name in self.service.models]})

    async def _model(self, http: Request) -> Response:
        name = http.path_params["name"]
        if name not in self.service.models:
            raise ApiError(HTTPStatus.NOT_FOUND, f"the model {name!r} is not served here", code="model_not_found")
        return JSONResponse(self._described(check_model(self.service, name)))

    def _described(self, name: str) -> dict[str, Any]:
        length = self.service.max_sequence_length
        return {
            "id": name,
            "object": "model",
            "created": self._started,
            "owned_by": "plugtron",
            "max_model_len": length,
        }
