"""Bodies of /v1/embeddings, /v1/score and /v1/rerank."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from plugtron.serve.openai.fields import MODEL, Fields, Several

__all__ = ["Embedded", "EmbeddingBody", "RerankBody", "ScoreBody"]


class Embedded(Fields):
    """How texts are embedded."""

    model: str | None = Field(default=None, description=MODEL)
    user: str | None = Field(default=None, description="who asks, for the log of requests")
    pooling: Literal["last", "mean", "cls"] | None = Field(default=None, description="last by default")
    truncate_prompt_tokens: int | None = Field(default=None, ge=-1, description="only the end of a text")
    priority: int | None = Field(default=None, gt=-(2**63), lt=2**63, description="higher goes first")
    cache_salt: str | None = Field(default=None, description="only equal ones share cached prefixes")

    @property
    def parameters(self) -> dict[str, Any]:
        """The sampling parameters of its requests."""
        return {"pooling": self.pooling or "last", "truncate_prompt_tokens": self.truncate_prompt_tokens}


class EmbeddingBody(Embedded):
    """The body of /v1/embeddings."""

    input: str | Several[int] | Several[str] | Several[Several[int]] = Field(
        min_length=1, description="a text, ids, or several of either"
    )
    encoding_format: Literal["float", "base64"] | None = Field(default=None, description="float by default")
    normalize: bool | None = Field(default=None, description="true by default: to length 1")
    dimensions: None = Field(default=None, description="shorter embeddings are not done")


class ScoreBody(Embedded):
    """The body of /v1/score: one text beside others, or as many beside as many."""

    text_1: str | Several[str] = Field(min_length=1, description="one text, or several")
    text_2: str | Several[str] = Field(min_length=1, description="what it is compared with, in turn")


class RerankBody(Embedded):
    """The body of /v1/rerank."""

    query: str = Field(min_length=1, description="what documents are compared with")
    documents: Several[str] = Field(min_length=1, description="the documents")
    top_n: int | None = Field(default=None, ge=1, description="only the first n")
    return_documents: bool | None = Field(default=None, description="their texts, too")
