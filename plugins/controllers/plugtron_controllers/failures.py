"""Why draws failed, brought to every rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from plugtron.contracts import Runtime

__all__ = ["NOT_DRAWN", "exchange_failures", "leaves_nothing"]

#: What stands for a draw that was not made: a draft token before it was rejected.
NOT_DRAWN = -9
#: What a draw's number means where it is no token.
_WHY = {
    -1: "no token is left that could be drawn",
    -2: "the logits are not finite: NaN or infinity came from the model, or from a sampler",
    -3: "a sampler returned an id that is no token",
}


def leaves_nothing(reason: str) -> bool:
    """Whether a draw failed because of what its request asks for, all of it together."""
    return reason.startswith(_WHY[-1])


def exchange_failures(
    failed: Mapping[int, int], own: Mapping[int, str], runtime: Runtime, stages: Callable[[int], str]
) -> dict[int, str]:
    """Return why draws failed, by slot, on every rank of the model. That one has is told from the tokens.

    Args:
        failed: the number that stands for the token, of the slots whose draw failed.
        own: what this rank knows of them.
        stages: says which stages of the chain a slot went through; one of them is to blame, and the device knows which.
    """
    if not failed:
        return {}
    known = [[slot, own[slot]] for slot in failed if slot in own]
    unsaid = {slot: f"{_WHY[number]}{stages(slot)}" for slot, number in failed.items()}
    return {**unsaid, **dict(runtime.model.broadcast_json(known, runtime.sampling_rank))}
