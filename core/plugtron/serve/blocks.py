"""An answer as a row of blocks, as Anthropic's API and OpenAI's responses have it: text, reasoning, calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from plugtron.contracts.parser import AnswerDelta, ArgumentsDelta, CallBegun, ContentDelta, ReasoningDelta
from plugtron.contracts.routes import Service
from plugtron.request.request import InferenceRequest
from plugtron.serve.answer_reader import ToolChoice, reader_for

__all__ = ["Block", "BlockKind", "Blocks", "Change", "changes", "finish"]


class BlockKind(StrEnum):
    """What a block has in it."""

    TEXT = "text"
    REASONING = "reasoning"
    CALL = "call"


@dataclass(slots=True, eq=False)
class Block:
    """A part of an answer. The text of a call are its arguments."""

    index: int
    kind: BlockKind
    text: str = ""
    name: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a delta did to a block: it was opened, grew by a text, or was closed."""

    what: Literal["opened", "grew", "closed"]
    block: Block
    text: str = ""


class Blocks:
    """Puts deltas into blocks: a new one begins where their kind changes, and for each call.

    Args:
        parallel: whether there may be several calls; if not, those after the first are left out.
    """

    def __init__(self, *, parallel: bool) -> None:
        self.all: list[Block] = []
        self._parallel = parallel
        self._open: Block | None = None

    def add(self, deltas: Sequence[AnswerDelta]) -> Iterator[Change]:
        """Take deltas."""
        for delta in deltas:
            match delta:
                case CallBegun(index, name, call_id):
                    if index == 0 or self._parallel:
                        yield from self._begin(BlockKind.CALL, name, call_id)
                case ArgumentsDelta(index, text):
                    if index == 0 or self._parallel:
                        yield from self._grow(BlockKind.CALL, text)
                case ContentDelta(text):
                    yield from self._grow(BlockKind.TEXT, text)
                case ReasoningDelta(text):
                    yield from self._grow(BlockKind.REASONING, text)

    def finish(self) -> Iterator[Change]:
        """Close the last block."""
        if self._open is not None:
            yield Change("closed", self._open)
            self._open = None

    @property
    def has_calls(self) -> bool:
        """Whether there is a call."""
        return any(block.kind is BlockKind.CALL for block in self.all)

    def _begin(self, kind: BlockKind, name: str = "", call_id: str = "") -> Iterator[Change]:
        yield from self.finish()
        self._open = Block(len(self.all), kind, name=name, call_id=call_id)
        self.all.append(self._open)
        yield Change("opened", self._open)

    def _grow(self, kind: BlockKind, text: str) -> Iterator[Change]:
        if self._open is None or self._open.kind is not kind:
            yield from self._begin(kind)
        assert self._open is not None
        self._open.text += text
        yield Change("grew", self._open, text)


async def changes(
    service: Service, request: InferenceRequest, choice: ToolChoice | None, blocks: Blocks
) -> AsyncGenerator[Change, None]:
    """Run a request of one answer and yield what each output does to its blocks.

    Raises:
        PlugtronError: as `Service.stream`.
    """
    reader = reader_for(service, request, choice)
    async with aclosing(service.stream(request)) as outputs:
        async for output in outputs:
            for change in blocks.add(reader.push(output)):
                yield change
    for change in blocks.finish():
        yield change


async def finish(service: Service, request: InferenceRequest, choice: ToolChoice | None, blocks: Blocks) -> bool:
    """Run a request of one answer to its end; true, so that it can be told from a client's having left.

    Raises:
        PlugtronError: as `Service.stream`.
    """
    async with aclosing(changes(service, request, choice, blocks)) as found:
        async for _ in found:
            pass
    return True
