"""Requests to measure with, and when they arrive. A seed says all of it, so that two engines can be given the same."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from plugtron.request.request import InferenceRequest
from plugtron.request.sampling_params import SamplingParams

__all__ = ["Workload", "poisson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Greedy requests of random ids that run to their last token.

    Args:
        requests: how many.
        prompt_tokens, output_tokens: least and greatest, drawn evenly.
        shared_prefix: tokens that prompts begin with, on top of their own.
        prefixes: how many such beginnings there are; each prompt has one of them, drawn evenly.
        seed: equal seeds make equal requests.
    """

    requests: int
    prompt_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    shared_prefix: int = 0
    prefixes: int = 1
    seed: int = 1234

    def make(self, vocab_size: int, reserved: Collection[int] = ()) -> list[InferenceRequest]:
        """Draw the requests: all prompt lengths first, then all output lengths, then the ids.

        Args:
            reserved: ids that must not come up, such as the end of a text.
        """
        random = Random(self.seed)
        prompts = [random.randint(*self.prompt_tokens) for _ in range(self.requests)]
        outputs = [random.randint(*self.output_tokens) for _ in range(self.requests)]
        accepted = [token for token in range(vocab_size) if token not in reserved]
        prefixes = [random.choices(accepted, k=self.shared_prefix) for _ in range(self.prefixes)]
        # Not the random numbers that ids are drawn from.
        drawn = Random(f"prefixes {self.seed}").choices(prefixes, k=self.requests)
        return [
            InferenceRequest(
                prompt=prefix + random.choices(accepted, k=prompt),
                params=SamplingParams(temperature=0, ignore_eos=True, max_tokens=output),
                index=index,
            )
            for index, (prefix, prompt, output) in enumerate(zip(drawn, prompts, outputs, strict=True))
        ]


def poisson(requests: int, rate: float, seed: int) -> list[float]:
    """Return arrival times in seconds of a Poisson process of `rate` requests a second; the first arrives at 0."""
    # Not the random numbers that a workload of the same seed takes its lengths from.
    random, now, times = Random(f"arrivals {seed}"), 0.0, []
    for _ in range(requests):
        times.append(now)
        now += random.expovariate(rate)
    return times
