"""What a draw is reported with, brought to every rank: log probabilities as numbers beside the tokens, and failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from plugtron.contracts import Runtime, Tokenizer
from plugtron.request import LogProbs
from plugtron_controllers.drawn_step import DrawnStep

__all__ = ["exchange_failures", "pack_log_probs", "unpack_log_probs"]

#: Where a row has fewer most likely ids than the widest.
_NONE = -1
#: What a draw's number means where it is no token.
_WHY = {
    -1: "no token is left that could be drawn",
    -2: "the logits are not finite: NaN or infinity came from the model, or from a sampler",
    -3: "a sampler returned an id that is no token",
}


def pack_log_probs(
    log_probs: Mapping[int, tuple[Tensor, Tensor, Tensor]], wanted: Mapping[int, int], device: torch.device
) -> Tensor | None:
    """Lay out the log probabilities of the slots that want them, [W, 1 + 2 K] float64: all ranks can make room for it.

    Args:
        log_probs: per slot the token's value [], ids [k] and values [k]; empty on ranks that do not draw.
        wanted: how many of the most likely ids each slot asks for; the same on every rank.
    """
    if not wanted:
        return None
    widest = max(wanted.values())
    packed = torch.full((len(wanted), 1 + 2 * widest), float(_NONE), dtype=torch.float64, device=device)
    for row, slot in enumerate(wanted):
        if slot in log_probs:
            value, ids, values = log_probs[slot]
            packed[row, 0] = value
            packed[row, 1 : 1 + len(ids)] = ids
            packed[row, 1 + widest : 1 + widest + len(values)] = values
    return packed


def unpack_log_probs(
    pending: DrawnStep, tokens: Sequence[int], packed: Sequence[Sequence[float]], tokenizer: Tokenizer | None
) -> dict[int, tuple[LogProbs]]:
    """The inverse, for the slots whose draw did not fail: one position each."""
    drawn = dict(zip(pending.slot_ids, tokens, strict=True))
    found = {}
    for slot, (value, *numbers) in zip(pending.wanted, packed, strict=True):
        if drawn[slot] >= 0:
            half = len(numbers) // 2
            pairs = zip(map(int, numbers[:half]), numbers[half:], strict=True)
            # Of what the chain has masked there is nothing to say.
            top = {token: log_prob for token, log_prob in pairs if token != _NONE and math.isfinite(log_prob)}
            texts = {} if tokenizer is None else _texts(tokenizer, (drawn[slot], *top))
            found[slot] = (LogProbs(token=drawn[slot], value=value, top=top, texts=texts),)
    return found


def _texts(tokenizer: Tokenizer, tokens: Iterable[int]) -> dict[int, str]:
    """The texts of single tokens."""
    return {token: tokenizer.token_bytes(token).decode("utf-8", errors="replace") for token in tokens}


def exchange_failures(
    pending: DrawnStep, tokens: Sequence[int], runtime: Runtime, stages: Callable[[int], str]
) -> dict[int, str]:
    """Return why draws failed, by slot, on every rank of the model. That one has is told from the tokens.

    Args:
        stages: says which stages of the chain a slot went through; one of them is to blame, and the device knows which.
    """
    if all(token >= 0 for token in tokens):
        return {}
    own = [[slot, pending.failures[slot]] for slot in pending.slot_ids if slot in pending.failures]
    unsaid = {
        slot: f"{_WHY[token]}{stages(slot)}"
        for slot, token in zip(pending.slot_ids, tokens, strict=True)
        if token in _WHY
    }
    return {**unsaid, **dict(runtime.model.broadcast_json(own, runtime.sampling_rank))}
