"""Arrivals that have been recorded: when requests came, how long they were, and what their prompts had in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plugtron.request.request import InferenceRequest
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec.prompt_file import parse_lines, read_lines

__all__ = ["Arrival", "Recording"]


class Arrival(BaseModel):
    """A line of a recording.

    Args:
        time: seconds, from any moment on.
        output_tokens: of the answer, which runs to its last token.
        prompt: the ids of the prompt; or instead
        prompt_tokens: how many there are.
        prefix, prefix_tokens: the prompt begins with so many tokens of the text of this name. Prompts of one name have
            in common what the shorter beginning has: a conversation's turns, say, or an assistant's instructions.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    time: float = Field(ge=0, allow_inf_nan=False)
    output_tokens: int = Field(ge=1)
    prompt: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = Field(default=None, min_length=1)
    prompt_tokens: int | None = Field(default=None, ge=1)
    prefix: str | None = None
    prefix_tokens: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.prompt_tokens is None):
            raise ValueError("give prompt or prompt_tokens, one of them")
        if (self.prefix is None) != (self.prefix_tokens is None):
            raise ValueError("give prefix and prefix_tokens, or neither")
        if self.prefix_tokens is not None and (self.prompt_tokens is None or self.prefix_tokens > self.prompt_tokens):
            raise ValueError("prefix_tokens: of a prompt of prompt_tokens, which are no fewer")
        return self


@dataclass(frozen=True, slots=True)
class Recording:
    """The arrivals of a file, in order of time."""

    file: Path
    arrivals: Sequence[Arrival]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file of JSON lines.

        Raises:
            SpecError: it cannot be read, has no line, or lines that are no arrivals; all of them.
        """
        found = parse_lines(read_lines(str(file), "--recorded"), str(file), Arrival, "arrivals")
        return cls(file, sorted(found, key=lambda arrival: arrival.time))

    @property
    def times(self) -> list[float]:
        """Seconds from the first arrival on."""
        return [arrival.time - self.arrivals[0].time for arrival in self.arrivals]

    def make(self, vocab_size: int, reserved: Collection[int] = ()) -> list[InferenceRequest]:
        """Make the requests, of random ids where the recording has numbers; always the same ones.

        Args:
            reserved: ids that must not come up, such as the end of a text.
        """
        accepted = [token for token in range(vocab_size) if token not in reserved]
        return [
            InferenceRequest(
                prompt=_prompt(arrival, index, accepted),
                params=SamplingParams(temperature=0, ignore_eos=True, max_tokens=arrival.output_tokens),
                index=index,
            )
            for index, arrival in enumerate(self.arrivals)
        ]


def _prompt(arrival: Arrival, index: int, accepted: Sequence[int]) -> list[int]:
    if arrival.prompt is not None:
        return arrival.prompt
    assert arrival.prompt_tokens is not None
    # A shorter draw of the same seed is a beginning of a longer one.
    shared = arrival.prefix_tokens or 0
    prefix = Random(f"prefix {arrival.prefix}").choices(accepted, k=shared)
    return prefix + Random(f"prompt {index}").choices(accepted, k=arrival.prompt_tokens - shared)
