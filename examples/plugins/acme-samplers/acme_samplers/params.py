"""The fields of a request that these samplers consume."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from plugtron import Params

__all__ = ["LONGEST", "BadWordsParams", "TypicalPParams"]

#: Characters of a word: what a step looks for in each row is bounded by the words, not by the answer.
LONGEST = 64

Word = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class TypicalPParams(Params):
    """The probability that the candidates which are kept have together."""

    acme_typical_p: float | None = Field(default=None, gt=0, le=1)


class BadWordsParams(Params):
    """Texts that the answer must not have in it; case matters."""

    acme_bad_words: list[Word] | None = Field(default=None, min_length=1, max_length=64)
