"""/v1/embeddings, /v1/score and /v1/rerank"""

from __future__ import annotations

import base64
import time
from array import array
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.errors import RequestError
from plugtron.request.request import InferenceRequest, Prompt
from plugtron.serve.body import read_body
from plugtron.serve.embeddings.fields import Embedded, EmbeddingBody, RerankBody, ScoreBody
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.event_stream import gone, unless_client_leaves
from plugtron.serve.merged import merged
from plugtron.serve.middleware.request_log import note
from plugtron.serve.openai.fields import check_model, check_number
from plugtron.serve.openai.prompts import prompts_of

__all__ = ["EmbeddingRoutes"]


class EmbeddingRoutes(Routes):
    """Embeddings of texts; how alike two texts are, by the cosine of theirs."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/v1/embeddings", self._embed, "embeddings of texts", form=EmbeddingBody),
            Endpoint("/v1/score", self._score, "how alike texts are: cosines of embeddings", form=ScoreBody),
            Endpoint("/v1/rerank", self._rerank, "documents in the order of their likeness", form=RerankBody),
        )

    async def _embed(self, http: Request) -> Response:
        body = await read_body(http, EmbeddingBody)
        model = check_model(self.service, body.model)
        normalize = {} if body.normalize is None else {"normalize": body.normalize}
        requests = await self._embedded(http, body, prompts_of(body.input), normalize)
        if requests is None:
            return gone()
        as_text = body.encoding_format == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(request.embedding) if as_text else request.embedding,
            }
            for index, request in enumerate(requests)
        ]
        return JSONResponse({"object": "list", "data": data, "model": model, "usage": _usage(requests)})

    async def _score(self, http: Request) -> Response:
        body = await read_body(http, ScoreBody)
        model = check_model(self.service, body.model)
        first, second = ([each] if isinstance(each, str) else each for each in (body.text_1, body.text_2))
        if len(first) not in (1, len(second)):
            raise RequestError(f"text_1: {len(first)} texts beside {len(second)} (accepted: 1, or as many)")
        requests = await self._embedded(http, body, [*first, *second])
        if requests is None:
            return gone()
        left, right = requests[: len(first)], requests[len(first) :]
        scores = [_dot(left[0 if len(left) == 1 else index], each) for index, each in enumerate(right)]
        data = [{"index": index, "object": "score", "score": score} for index, score in enumerate(scores)]
        head = {"id": f"score-{uuid4().hex}", "object": "list", "created": int(time.time()), "model": model}
        return JSONResponse({**head, "data": data, "usage": _usage(requests)})

    async def _rerank(self, http: Request) -> Response:
        body = await read_body(http, RerankBody)
        model = check_model(self.service, body.model)
        requests = await self._embedded(http, body, [body.query, *body.documents])
        if requests is None:
            return gone()
        query, *documents = requests
        scores = [_dot(query, each) for each in documents]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[: body.top_n]
        results: list[dict[str, Any]] = [{"index": index, "relevance_score": scores[index]} for index in order]
        if body.return_documents:
            for result in results:
                result["document"] = {"text": body.documents[result["index"]]}
        return JSONResponse(
            {"id": f"rerank-{uuid4().hex}", "model": model, "results": results, "usage": _usage(requests)}
        )

    async def _embedded(
        self, http: Request, body: Embedded, prompts: Sequence[Prompt], more: dict[str, Any] | None = None
    ) -> list[InferenceRequest] | None:
        """Embed texts beside each other; None: the client has left."""
        check_number(self.service, len(prompts), "texts")
        parameters = {**body.parameters, **(more or {})}
        requests = [
            self.service.new_request(prompt, parameters, priority=body.priority or 0, cache_salt=body.cache_salt or "")
            for prompt in prompts
        ]
        note(http, requests, model=body.model, user=body.user)
        for request in requests:
            await self.service.admit(request)
        return await unless_client_leaves(http, self._run(requests))

    async def _run(self, requests: list[InferenceRequest]) -> list[InferenceRequest]:
        async with aclosing(merged(self.service, requests)) as outputs:
            async for _ in outputs:
                pass
        return requests


def _dot(first: InferenceRequest, second: InferenceRequest) -> float:
    """The cosine of two embeddings, which have length 1."""
    return sum(a * b for a, b in zip(first.embedding or (), second.embedding or (), strict=True))


def _base64(embedding: Sequence[float] | None) -> str:
    """32-bit floats, little-endian, as OpenAI's clients read them."""
    return base64.b64encode(array("f", embedding or ()).tobytes()).decode()


def _usage(requests: Sequence[InferenceRequest]) -> dict[str, int]:
    tokens = sum(len(request.prompt_tokens) for request in requests)
    return {"prompt_tokens": tokens, "total_tokens": tokens}
