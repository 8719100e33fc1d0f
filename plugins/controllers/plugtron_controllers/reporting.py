"""What a draw is reported with, brought to every rank: log probabilities and failures."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from plugtron.contracts.controller import PendingStep
from plugtron.parallel.group import Group
from plugtron.request import LogProbs

__all__ = ["exchange_details"]


def exchange_details(
    pending: PendingStep, tokens: Sequence[int], wants_log_probs: AbstractSet[int], group: Group
) -> tuple[dict[int, str], dict[int, LogProbs]]:
    """Return failures and log probabilities by slot, on every rank of `group`.

    Whether there is anything to exchange follows from the tokens and the requests, which all ranks know.
    """
    if not wants_log_probs and all(token >= 0 for token in tokens):
        return {}, {}
    own = [
        [slot, pending.failures.get(slot), _numbers(pending, slot) if slot in wants_log_probs else None]
        for slot in pending.rows
    ]
    details = group.broadcast_json(own)
    failures = {slot: failure for slot, failure, _ in details if failure is not None}
    drawn = dict(zip(pending.rows, tokens, strict=True))
    log_probs = {
        slot: LogProbs(token=drawn[slot], value=numbers[0], top=dict(zip(numbers[1], numbers[2], strict=True)))
        for slot, _, numbers in details
        if numbers is not None
    }
    return failures, log_probs


def _numbers(pending: PendingStep, slot: int) -> list[object] | None:
    """Log probabilities as plain numbers; None on ranks that do not draw and for a draw that failed."""
    if slot not in pending.log_probs:
        return None
    value, ids, values = pending.log_probs[slot]
    return [value.item(), ids.tolist(), values.tolist()]
