"""The draws of a step, on the rank that makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plugtron.contracts import Candidates, StepBatch
from plugtron.engine import LiveSequence
from plugtron.utils import transfer
from plugtron_controllers.asked import Asked, Report
from plugtron_controllers.chain import Chain, Seen
from plugtron_controllers.failures import NOT_DRAWN
from plugtron_controllers.sampling import log_probabilities

__all__ = ["Drawing", "Found"]

LogProbRow = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Found:
    """What was drawn: tokens [N, D] as in `DrawnStep`, why draws failed by slot, and log probabilities by report."""

    tokens: Tensor
    failures: dict[int, str]
    log_probs: dict[int, LogProbRow]


class Drawing:
    """Samples one token for each slot, and one more behind each draft token that equals the token sampled before it.

    The chain runs for one position at a time, so that its stages learn of each draw before the next: the outcome is the
    one that steps of one token each would have had.

    Args:
        process: what is done to candidates before the chain.
        draw: draws for the candidates that the chain has left.
    """

    def __init__(
        self, chain: Chain, process: Callable[[Candidates], Candidates], draw: Callable[[Candidates], Tensor]
    ) -> None:
        self._chain = chain
        self._process = process
        self._draw = draw

    def run(
        self,
        asked: Asked,
        reports: Sequence[Report],
        batch: StepBatch,
        logits: Tensor,
        live: Mapping[int, LiveSequence],
    ) -> Found:
        """Draw from the logits of a step, [L, vocabulary]."""
        log_probs: dict[int, LogProbRow] = {}
        for number, report in enumerate(reports):
            if report.draw is None:
                token = torch.tensor(report.given, device=logits.device)
                log_probs[number] = log_probabilities(logits[report.place], None, token, report.top)
        if not asked.draws:
            return Found(torch.zeros((0, 1), dtype=torch.int64, device=logits.device), {}, log_probs)
        tokens: Tensor | None = None
        failures: dict[int, str] = {}
        going = range(len(asked.draws))
        for at in range(asked.most):
            candidates = self._process(_candidates(asked, going, at, batch, logits))
            drawn, seen, why = self._chain.run(candidates, self._draw, keep=bool(reports))
            failures |= why
            for number, report in enumerate(reports):
                if report.draw == at and report.slot in candidates.slot_ids:
                    row = self._log_probs(candidates, seen, drawn, report, live)
                    if row is not None:
                        log_probs[number] = row
            if asked.most == 1:  # as in most steps, which must not pay for the others
                return Found(drawn.unsqueeze(1), failures, log_probs)
            if tokens is None:
                tokens = torch.full((len(asked.draws), asked.most), NOT_DRAWN, dtype=torch.int64, device=logits.device)
            tokens[going, at] = drawn
            if at + 1 < asked.most:
                going = _accepted(asked, going, at, drawn.tolist())
                if not going:
                    break
        assert tokens is not None, "there is a draw at least"
        return Found(tokens, failures, log_probs)

    def _log_probs(
        self, candidates: Candidates, seen: Seen, drawn: Tensor, report: Report, live: Mapping[int, LiveSequence]
    ) -> LogProbRow | None:
        processed = seen(report.slot)
        if processed is None:
            return None
        place = candidates.slot_ids.index(report.slot)
        raw = live[report.slot].sequence.request.params.logprobs_mode != "processed"
        source, row = (candidates, place) if raw else processed
        ids = None if source.ids is None else source.ids[row]
        return log_probabilities(source.logits[row], ids, drawn[place], report.top)


def _accepted(asked: Asked, going: Sequence[int], at: int, drawn: Sequence[int]) -> list[int]:
    """The slots whose draft token is the token that was sampled."""
    drafts = [asked.draws[number].draft for number in going]
    return [
        number
        for number, draft, token in zip(going, drafts, drawn, strict=True)
        if at < len(draft) and draft[at] == token
    ]


def _candidates(asked: Asked, going: Sequence[int], at: int, batch: StepBatch, logits: Tensor) -> Candidates:
    """The candidates of the draws at place `at` of each slot that goes on."""
    slots, positions, rows = batch.slots, batch.memory.seq_lens, logits
    slot_ids = asked.slot_ids
    # In most steps every row has one position, and draws there.
    if not (asked.most == 1 and len(asked.draws) == len(slots) == len(logits)):
        chosen = [asked.draws[number] for number in going]
        slot_ids = tuple([draws.slot for draws in chosen])
        places, own, stands = transfer(
            logits.device,
            np.array([draws.place + at for draws in chosen], dtype=np.int64),
            np.array(slot_ids, dtype=np.int64),
            np.array([draws.position + at for draws in chosen], dtype=np.int64),
        )
        slots, positions, rows = own, stands, logits[places]
    return Candidates(logits=rows, ids=None, slots=slots, positions=positions, slot_ids=slot_ids)
