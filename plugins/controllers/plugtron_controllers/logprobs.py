"""Log probabilities as numbers beside the tokens, brought to every rank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from plugtron.contracts import Tokenizer
from plugtron.request import LogProbs
from plugtron_controllers.asked import Report

__all__ = ["pack_log_probs", "unpack_log_probs"]

#: Where a row has fewer most likely ids than the widest.
_NONE = -1


def pack_log_probs(
    log_probs: Mapping[int, tuple[Tensor, Tensor, Tensor]], reports: Sequence[Report], device: torch.device
) -> Tensor | None:
    """Lay out the log probabilities of a step, [W, 1 + 2 K] float64: all ranks can make room for it.

    Args:
        log_probs: per report the token's value [], ids [k] and values [k]; empty on ranks that do not draw.
        reports: what is to be reported; the same on every rank.
    """
    if not reports:
        return None
    widest = max(report.top for report in reports)
    packed = torch.full((len(reports), 1 + 2 * widest), float(_NONE), dtype=torch.float64, device=device)
    for row, (value, ids, values) in log_probs.items():
        packed[row, 0] = value
        packed[row, 1 : 1 + len(ids)] = ids
        packed[row, 1 + widest : 1 + widest + len(values)] = values
    return packed


def unpack_log_probs(
    reports: Sequence[Report],
    drawn: Mapping[int, tuple[int, ...]],
    packed: Sequence[Sequence[float]],
    tokenizer: Tokenizer | None,
) -> tuple[dict[int, tuple[LogProbs, ...]], dict[int, tuple[LogProbs, ...]]]:
    """The inverse, by slot in order: of tokens drawn, and of prompts.

    Args:
        drawn: the tokens that each slot drew; draws that were not made, or failed, have nothing to report.
    """
    found: tuple[dict[int, tuple[LogProbs, ...]], dict[int, tuple[LogProbs, ...]]] = ({}, {})
    for report, (value, *numbers) in zip(reports, packed, strict=True):
        if report.draw is None:
            token = report.given
        elif report.draw < len(drawn.get(report.slot, ())):
            token = drawn[report.slot][report.draw]
        else:
            continue
        half = len(numbers) // 2
        pairs = zip(map(int, numbers[:half]), numbers[half:], strict=True)
        # Of what the chain has masked there is nothing to say.
        top = {each: log_prob for each, log_prob in pairs if each != _NONE and math.isfinite(log_prob)}
        texts = {} if tokenizer is None else _texts(tokenizer, (token, *top))
        ours = found[report.draw is None]
        ours[report.slot] = (*ours.get(report.slot, ()), LogProbs(token=token, value=value, top=top, texts=texts))
    return found


def _texts(tokenizer: Tokenizer, tokens: Iterable[int]) -> dict[int, str]:
    """The texts of single tokens."""
    return {token: tokenizer.token_bytes(token).decode("utf-8", errors="replace") for token in tokens}
