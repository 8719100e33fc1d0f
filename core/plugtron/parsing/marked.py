"""What parsers of marked text share: reasoning, then content with calls in it, each between marks."""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from plugtron.contracts.parser import (
    AnswerDelta,
    ArgumentsDelta,
    CallBegun,
    ContentDelta,
    Parser,
    ReasoningDelta,
)
from plugtron.parsing.json_text import JSON_PIECE, Span, SpanReader

#: A call of fewer characters is read anew with each piece of text, so that what is none is known early.
SHORT = 200

__all__ = ["SHORT", "Call", "CallNumbers", "MarkedParser", "Read", "first_of", "held_back", "until"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was read. Without an `id` it gets one."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """How much of a text a call takes, and the calls; where there is none, that much is content as it is written."""

    length: int
    calls: tuple[Call, ...] = ()


def until(text: str, mark: str) -> Read | None:
    """All up to behind a mark as content; None where there is no such mark."""
    place = text.find(mark)
    return None if place < 0 else Read(place + len(mark))


class _Mode(Enum):
    REASONING = "reasoning"
    CONTENT = "content"
    SECTION = "section"


class CallNumbers:
    """Numbers calls, and names those that the model has not named: the same answer to the same prompt, the same ids."""

    def __init__(self, prompt: str) -> None:
        self._seed = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        self.count = 0

    def deltas(self, call: Call) -> list[AnswerDelta]:
        """The deltas of the next call, whole."""
        index, self.count = self.count, self.count + 1
        # Nine letters and digits: some templates take no other ids.
        made = hashlib.sha256(f"{self._seed} {index}".encode()).hexdigest()[:9]
        return [CallBegun(index, call.name, call.id or made), ArgumentsDelta(index, call.arguments)]


def first_of(text: str, marks: Iterable[str], start: int = 0) -> tuple[int, str] | None:
    """Where the first of several marks is, and which; the longest of those that begin there."""
    places = [(place, -len(mark), mark) for mark in marks if (place := text.find(mark, start)) >= 0]
    if not places:
        return None
    place, _, mark = min(places)
    return place, mark


def held_back(text: str, marks: Iterable[str]) -> int:
    """How many characters at a text's end may be the beginning of a mark."""
    return max(
        (size for mark in marks for size in range(1, min(len(mark), len(text) + 1)) if text.endswith(mark[:size])),
        default=0,
    )


class MarkedParser(Parser):
    """Reads reasoning between two marks, and calls that begin with one of several.

    Attributes:
        reasoning: the marks around reasoning.
        anywhere: whether reasoning may begin behind content; where its marks are plain words, it may not.
        call_marks: what a call begins with.
        first_marks: what a call begins with at an answer's beginning, and nowhere else.
        early_calls: what a call begins with that ends reasoning which nothing has closed.
        call_ends: a longer call is read when one of these has come, and at the end; empty: whenever text has come.
        sections: marks around several calls; what else is between them is no text.
        pieces: what brackets and strings look like where arguments are written.
        silent: marks that are neither text nor begin anything; they end reasoning that nothing has closed.
        trims: whether white space before calls is the template's, and none of the text's.
    """

    reasoning: ClassVar[tuple[str, str] | None] = ("<think>", "</think>")
    anywhere: ClassVar[bool] = False
    call_marks: ClassVar[tuple[str, ...]] = ()
    first_marks: ClassVar[tuple[str, ...]] = ()
    early_calls: ClassVar[tuple[str, ...]] = ()
    call_ends: ClassVar[tuple[str, ...]] = ()
    sections: ClassVar[Mapping[str, str]] = {}
    pieces: ClassVar[re.Pattern[str]] = JSON_PIECE
    silent: ClassVar[tuple[str, ...]] = ()
    trims: ClassVar[bool] = True

    def __init__(self, tools: Sequence[Mapping[str, Any]], prompt: str) -> None:
        self.tools = tools
        self._numbers = CallNumbers(prompt)
        opened = self.reasoning is not None and prompt.rstrip().endswith(self.reasoning[0])
        self._mode = _Mode.REASONING if opened else _Mode.CONTENT
        self._text = ""
        self._seen = 0  # how much of a call that has begun was looked at for its end
        self._space = ""  # white space that may turn out to be before a mark
        self._spoke = False  # whether content has begun
        self._strips = opened  # whether white space that comes next is left out
        self._section_end = ""
        self._span = SpanReader(self.pieces)
        self._call = ""  # the mark of a call that has begun

    @abstractmethod
    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read the call that a text begins with.

        Args:
            ended: the answer has ended, and this is all there is.

        Returns:
            What was read; None: there is too little of it to say.
        """

    def push(self, text: str) -> list[AnswerDelta]:
        """Add text of the answer; return what is now certain."""
        self._text += text
        return self._advance(ended=False)

    def finish(self) -> list[AnswerDelta]:
        """Return what was held back; the answer has ended."""
        deltas = self._advance(ended=True)
        if self._space and (self._mode is _Mode.REASONING or self._spoke or not self._numbers.count):
            deltas += self._say(ended=True)
        return deltas

    def _advance(self, *, ended: bool) -> list[AnswerDelta]:
        deltas: list[AnswerDelta] = []
        while True:
            found = (0, self._call) if self._call else self._next_mark()
            if found is None:
                certain = len(self._text) - (0 if ended else self._uncertain())
                deltas += self._say(self._text[:certain])
                self._text = self._text[certain:]
                return deltas
            place, mark = found
            deltas += self._say(self._text[:place])
            self._text = self._text[place:]
            passed = self._pass(mark, ended=ended)
            if passed is None:
                return deltas
            deltas += passed

    def _next_mark(self) -> tuple[int, str] | None:
        """Where the next mark is, and which."""
        begun = self._text.lstrip()
        for mark in self._first_marks():
            if begun.startswith(mark):
                return len(self._text) - len(begun), mark
        return first_of(self._text, self._marks())

    def _uncertain(self) -> int:
        """How much at the text's end may be the beginning of a mark."""
        begun = self._text.lstrip()
        first = len(begun) if any(mark.startswith(begun) for mark in self._first_marks()) else 0
        return max(first, held_back(self._text, self._marks()))

    def _marks(self) -> list[str]:
        """The marks that mean something where the text is."""
        if self._mode is _Mode.SECTION:
            return [*self.call_marks, self._section_end]
        opening, closing = self.reasoning or ("", "")
        if self._mode is _Mode.REASONING:
            return [closing, *self.silent, *(self.early_calls if self.tools else ())]
        calls = (*self.call_marks, *self.sections) if self.tools else ()
        return [*calls, *self.silent, *([opening] if opening and self.anywhere else ())]

    def _first_marks(self) -> list[str]:
        """Those that mean something at the beginning only."""
        opening = [self.reasoning[0]] if self.reasoning is not None else []
        if self._mode is _Mode.REASONING:
            return opening if self._strips else []  # some models open again what the prompt has opened
        if self._mode is _Mode.SECTION or self._spoke or self._numbers.count:
            return []
        return [*opening, *(self.first_marks if self.tools else ())]

    def _pass(self, mark: str, *, ended: bool) -> list[AnswerDelta] | None:
        """Go behind the mark that the text begins with; None: more text is needed."""
        opening, closing = self.reasoning or ("", "")
        if self._mode is _Mode.SECTION and mark == self._section_end:
            self._enter(_Mode.CONTENT, behind=mark)
        elif self._mode is not _Mode.SECTION and mark in (opening, closing):
            self._enter(_Mode.REASONING if mark == opening else _Mode.CONTENT, behind=mark)
            self._strips = True
        elif mark in self.silent:
            self._enter(_Mode.CONTENT, behind=mark)
        elif mark in self.sections:
            self._section_end = self.sections[mark]
            self._enter(_Mode.SECTION, behind=mark)
        else:
            self._call = mark
            return self._pass_call(ended=ended)
        return []

    def _enter(self, mode: _Mode, behind: str) -> None:
        self._drop_space()
        self._mode = mode
        self._text = self._text.removeprefix(behind)

    def _pass_call(self, *, ended: bool) -> list[AnswerDelta] | None:
        read = self.read_call(self._text, ended=ended) if ended or self._may_end() else None
        if read is None:
            if ended:
                self._text = ""
                self._drop_space()
            return None
        self._seen, self._call = 0, ""
        self._span.reset()
        length = max(read.length, 1)  # a parser that consumes nothing must not loop forever
        taken, self._text = self._text[:length], self._text[length:]
        if not read.calls:
            return self._say(taken, malformed=True)
        self._drop_space()
        if self._mode is _Mode.REASONING:
            self._mode = _Mode.CONTENT
        self._spoke = False  # white space behind a call is held back like any other
        return [delta for call in read.calls for delta in self._numbers.deltas(call)]

    def _may_end(self) -> bool:
        """Whether it is worth reading a call: it is short, or one of its ends has come since it was read last."""
        start = max(0, self._seen - max(map(len, self.call_ends), default=0) + 1)
        self._seen = len(self._text)
        short = self._seen < SHORT or not self.call_ends
        return short or first_of(self._text, self.call_ends, start) is not None

    def span(self, text: str, start: int) -> Span:
        """Follow the JSON in a call, on from where it was left when there was less of the text."""
        return self._span.follow(text, start)

    def _drop_space(self) -> None:
        self._space = ""

    def _say(self, text: str = "", *, malformed: bool = False, ended: bool = False) -> list[AnswerDelta]:
        """Hand out text of the mode; white space at its end waits for what comes next."""
        if self._mode is _Mode.SECTION and not malformed:
            return []
        if self._strips:
            text = text.lstrip()
            self._strips = not text
        text = self._space + text
        waits = (self.trims or self._mode is _Mode.REASONING) and not ended
        kept = text.rstrip() if waits else text
        self._space = text[len(kept) :]
        if not kept:
            return []
        if self._mode is _Mode.REASONING:
            return [ReasoningDelta(kept)]
        self._spoke = self._spoke or not kept.isspace()
        return [ContentDelta(kept)]
