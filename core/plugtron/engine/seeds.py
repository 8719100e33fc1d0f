"""The seeds of requests and of their sequences."""

from __future__ import annotations

from plugtron.request.request import InferenceRequest, InferenceSequence

__all__ = ["RequestSeeds", "mix"]


class RequestSeeds:
    """Gives the sequences of requests their seeds: as a request asks, or from those of the run, by its number.

    Args:
        seed: what requests without a seed derive theirs from, in order; None: `fresh`.
        fresh: what those derive theirs from that are to differ from run to run (a negative seed).
    """

    def __init__(self, seed: int | None, *, fresh: int) -> None:
        self._seed = seed
        self._fresh = fresh

    def of(self, request: InferenceRequest) -> int:
        """The seed of a request that has its number."""
        asked = request.params.seed
        if asked is not None and asked >= 0:
            return asked
        assert request.id is not None
        return mix(self._fresh if asked is not None or self._seed is None else self._seed, request.id + 1)

    def begin_sequences(self, request: InferenceRequest) -> None:
        """Make the sequences of a request that has its number."""
        seed = self.of(request)
        request.sequences = [
            InferenceSequence(request=request, index=index, seed=mix(seed, index) if index else seed)
            for index in range(request.params.answers)
        ]


def mix(seed: int, index: int) -> int:
    """Derive a seed from another: the output function of SplitMix64 (Steele et al., 2014), cut to 63 bits."""
    value = (seed + index * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) >> 1
