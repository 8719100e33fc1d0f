"""Options of the engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import ByteSize, Field, model_validator

from plugtron import Options

__all__ = ["DynamicOptions", "StaticOptions"]


class StaticOptions(Options):
    """How much the static engine takes on at once."""

    max_batch_size: int = Field(default=8, ge=1, le=4096, description="sequences per batch")
    max_sequence_length: int | None = Field(
        default=None, ge=2, description="prompt and answer together; by default what the model allows, up to 2048"
    )


class DynamicOptions(Options):
    """How much the dynamic engine takes on at once, and how it holds memory."""

    earlier_names: ClassVar[Mapping[str, str]] = {
        "memory": "kv_cache_memory", "share_prefixes": "prefix_caching", "asynchronous": "async_scheduling",
    }  # fmt: skip

    max_batch_size: int = Field(default=64, ge=1, le=4096, description="sequences at once")
    max_sequence_length: int | None = Field(
        default=None, ge=2, description="prompt and answer together; by default what the model allows, up to 2048"
    )
    max_step_tokens: int = Field(default=512, ge=1, description="tokens per step; longer prompts go in chunks")
    block_size: int = Field(default=16, ge=1, le=4096, description="tokens per block of memory")
    blocks: int | None = Field(
        default=None, ge=1, description="blocks in all; by default enough for a full batch, within the free memory"
    )
    kv_cache_memory: ByteSize | None = Field(
        default=None, ge=1, description="bytes for blocks on each rank, such as 4GiB, instead of their number"
    )
    prefix_caching: bool = Field(default=True, description="compute what prompts have in common once")
    prefix_cache_disk: ByteSize | None = Field(
        default=None, ge=1, description="bytes for prefixes on disk, such as 1GiB, which later runs begin with"
    )
    async_scheduling: bool | None = Field(
        default=None, description="start a step before the last one's tokens are known; by default on a GPU"
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.blocks is not None and self.kv_cache_memory is not None:
            raise ValueError("give blocks or kv_cache_memory, not both")
        if self.prefix_cache_disk is not None and not self.prefix_caching:
            raise ValueError("prefix_cache_disk needs prefix_caching: true")
        return self
