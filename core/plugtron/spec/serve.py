"""What a spec says of its server."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from plugtron.spec.section import ComponentRef, Section

__all__ = ["DEFAULT_ROUTES", "ServeSpec"]

#: What `routes: [default]` stands for.
DEFAULT_ROUTES = (
    "log",
    "health",
    "openai",
    "responses",
    "messages",
    "embeddings",
    "tokenize",
    "metrics",
    "openapi",
    "pages",
)

_Name = Annotated[str, Field(min_length=1)]


class ServeSpec(Section):
    """How `plugtron serve` listens, what it answers, and how much it takes."""

    host: str = Field(default="127.0.0.1", min_length=1, description="the address to listen on; 0.0.0.0: all")
    port: int = Field(default=8000, ge=0, lt=65536, description="0: any that is free")
    models: list[_Name] = Field(
        default_factory=list, description="names that clients may ask for; by default the checkpoint's"
    )
    routes: list[ComponentRef] = Field(
        default_factory=lambda: [ComponentRef(name=name) for name in DEFAULT_ROUTES],
        description="endpoints, and what stands before them; default: plugtron's own",
    )
    tls_certificate: str | None = Field(default=None, description="a file in PEM; with it, HTTPS is spoken")
    tls_key: str | None = Field(default=None, description="the key of the certificate, where it is no part of its file")
    max_requests: int = Field(default=1024, ge=1, description="open at once; more are refused with status 429")
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024, description="of a request's body; more: status 413")
    drain_seconds: float = Field(
        default=30.0, ge=0, le=1e6, description="what open requests get to finish when the server is stopped"
    )
    log_prompts: bool = Field(default=False, description="the log of requests has prompts and answers in it")

    @field_validator("routes")
    @classmethod
    def _expand_default(cls, refs: list[ComponentRef]) -> list[ComponentRef]:
        expanded: list[ComponentRef] = []
        for ref in refs:
            expanded += [ComponentRef(name=name) for name in DEFAULT_ROUTES] if ref.name == "default" else [ref]
        return expanded
