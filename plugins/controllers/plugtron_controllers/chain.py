"""Running the sampler chain over a step, and finding the row to blame when a stage fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from plugtron.contracts import Candidates, Sampler
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_controllers.checked import SamplerFailed, checked
from plugtron_controllers.fused import FusedDraw

__all__ = ["Chain", "Seen"]

#: How many logits are in a block: 1 MiB, and as much again for each thing that a stage works in.
_BLOCK = 1 << 18

Draw = Callable[[Candidates], Tensor]
Seen = Callable[[int], tuple[Candidates, int] | None]


class Chain:
    """The stages in order, and which slots use each. A stage that no row of a step uses is not run.

    Attributes:
        fused: what runs the end of the chain together with the draw; None: stages are applied, and `draw` is called.
    """

    fused: FusedDraw | None = None

    def __init__(self, samplers: Sequence[Sampler], vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self.samplers = tuple(samplers)
        self._preparing = [each for each in self.samplers if type(each).prepare is not Sampler.prepare]
        self._users: dict[Sampler, set[int]] = {sampler: set() for sampler in self.samplers}
        # Why slots cannot be drawn for: what a stage raised when it was told of their sequence.
        self._failures: dict[int, str] = {}
        # Which stages the slots of the step before used: in most steps they are the same slots.
        self._used_by: tuple[tuple[int, ...], tuple[Sampler, ...]] = ((), ())

    def stages_of(self, params: SamplingParams) -> frozenset[Sampler]:
        """The stages that a request needs; a greedy one does without those that keep its most likely token."""
        return frozenset(
            sampler
            for sampler in self.samplers
            if sampler.uses(params) and not (params.greedy and sampler.is_argmax_invariant)
        )

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Tell the stages of a sequence. A stage is a plugin's code: what it raises fails this sequence alone."""
        self._forget()
        try:
            for sampler in self.stages_of(sequence.request.params):
                try:
                    sampler.add(slot, sequence)
                except Exception as error:
                    raise SamplerFailed(sampler, error) from error
                self._users[sampler].add(slot)
        except Exception as error:
            self._failures[slot] = _said(error)

    def remove(self, slot: int) -> None:
        """Have the stages forget a sequence; whatever they raise, its slot is given back."""
        self._failures.pop(slot, None)
        self._forget()
        for sampler, users in self._users.items():
            if slot in users:
                users.discard(slot)
                try:
                    sampler.remove(slot)
                except Exception as error:
                    warnings.warn(f"{type(sampler).__name__}.remove: {type(error).__name__}: {error}", stacklevel=2)

    def prepare(self, slot_ids: tuple[int, ...]) -> None:
        """Let the stages begin what they need for a step that draws for these slots; who raises fails its slots."""
        for sampler in self._preparing:
            users = tuple([slot for slot in slot_ids if slot in self._users[sampler]]) if self._users[sampler] else ()
            if users:
                try:
                    sampler.prepare(users)
                except Exception as error:
                    self._failures |= dict.fromkeys(users, _said(SamplerFailed(sampler, error)))

    def _forget(self) -> None:
        """Which stages are used is to be found anew."""
        self._used_by = ((), ())
        if self.fused is not None:
            self.fused.forget()

    def _used(self, slot_ids: tuple[int, ...]) -> tuple[Sampler, ...]:
        """The stages that one of these slots uses."""
        known, used = self._used_by
        if known != slot_ids:
            used = tuple([each for each in self.samplers if not self._users[each].isdisjoint(slot_ids)])
            self._used_by = slot_ids, used
        return used

    def run(self, candidates: Candidates, draw: Draw, *, keep: bool = True) -> tuple[Tensor, Seen, dict[int, str]]:
        """Apply the stages and draw.

        Args:
            keep: the candidates that draws saw will be asked for; without, it may be others that are returned.

        Returns:
            tokens [N], below 0 for a row that failed, has no candidate left, or candidates that are not finite; a
            function from a slot to the candidates that its draw saw, and its row in them, or None; and why rows
            failed, by slot.
        """
        if not self._failures.keys().isdisjoint(candidates.slot_ids):
            return self._row_by_row(candidates, draw, keep=keep)
        try:
            tokens, left = self._in_blocks(candidates, draw, keep=keep)
            failures = self._accept(candidates.slot_ids, tokens)
        # A sampler is a plugin's code. Whatever it raises, only the rows that make it raise may fail.
        except Exception:
            return self._row_by_row(candidates, draw, keep=keep)

        def seen(slot: int) -> tuple[Candidates, int]:
            block, row = divmod(candidates.slot_ids.index(slot), len(left[0].slot_ids))
            return left[block], row

        return tokens, seen, failures

    def _in_blocks(self, candidates: Candidates, draw: Draw, *, keep: bool) -> tuple[Tensor, list[Candidates]]:
        """Draw for a few rows at a time, of which a CPU keeps all that stages make of them in its caches.

        Returns:
            tokens [N], and what the draws of each block of rows have seen; all but the last have equally many.
        """
        rows, slot_ids = len(candidates.slot_ids), candidates.slot_ids
        size = max(1, _BLOCK // max(1, candidates.logits.shape[1]))
        if (
            candidates.logits.device.type != "cpu"
            or rows <= size
            or not self._used(slot_ids)
            or self.is_fused(slot_ids)
        ):
            tokens, left = self._attempt(candidates, draw, keep=keep)
            return tokens, [left]
        blocks = [_some_rows(candidates, slice(first, first + size)) for first in range(0, rows, size)]
        drawn = [self._attempt(block, draw, keep=keep) for block in blocks]
        return torch.cat([tokens for tokens, _ in drawn]), [left for _, left in drawn]

    def is_fused(self, slot_ids: tuple[int, ...]) -> bool:
        """Whether kernels run all stages of these slots with the draw, so that torch makes nothing of all logits."""
        if self.fused is None:
            return False
        return all(type(each).row_stage is not Sampler.row_stage for each in self._used(slot_ids))

    def _row_by_row(self, candidates: Candidates, draw: Draw, *, keep: bool) -> tuple[Tensor, Seen, dict[int, str]]:
        tokens = torch.full((len(candidates.slot_ids),), -1, dtype=torch.int64, device=candidates.logits.device)
        seen: dict[int, tuple[Candidates, int]] = {}
        failures: dict[int, str] = {}
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self._failures:
                failures[slot] = self._failures[slot]
                continue
            try:
                token, left = self._attempt(_some_rows(candidates, slice(row, row + 1)), draw, keep=keep)
                tokens[row], seen[slot] = token[0], (left, 0)
            except Exception as error:
                failures[slot] = _said(error)
        drawn = tuple(slot for slot in candidates.slot_ids if slot not in failures)
        kept = [row for row, slot in enumerate(candidates.slot_ids) if slot not in failures]
        accepted = tokens[kept]
        failures |= self._accept(drawn, accepted)
        tokens[kept] = accepted
        return tokens, seen.get, failures

    def _attempt(self, candidates: Candidates, draw: Draw, *, keep: bool) -> tuple[Tensor, Candidates]:
        used = self._used(candidates.slot_ids)
        if self.fused is None:
            return self._draw(self._apply(used, candidates), draw)
        tail = self.fused.tail(used, candidates)
        head = len(used) - len(tail)
        left = self._apply(used[:head], candidates)
        if left.ids is None:
            return self.fused.draw(tail, left, keep=keep)
        return self._draw(self._apply(used[head:], left), draw)

    def _apply(self, stages: Sequence[Sampler], left: Candidates) -> Candidates:
        for sampler in stages:
            try:
                left = checked(left, sampler.apply(left), self._vocab_size)
            except Exception as error:
                raise SamplerFailed(sampler, error) from error
        return left

    def _draw(self, left: Candidates, draw: Draw) -> tuple[Tensor, Candidates]:
        tokens = draw(left)
        # Where ids lie on a device they have not been looked at; what is no token must not be embedded.
        return (tokens if left.ids is None else torch.where(tokens < self._vocab_size, tokens, -3)), left

    def _accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> dict[int, str]:
        """Tell the stages what was drawn, all rows at once; where one raises, row by row, marking those that fail."""
        failures: dict[int, str] = {}
        learning = [each for each in self.samplers if type(each).accept is not Sampler.accept and self._users[each]]
        if not learning:
            return failures
        # Which draws failed only the device knows, and it is not waited for: those requests end, whatever is learnt.
        learnt = tokens.clamp(min=0)
        for sampler in learning:
            users = [row for row, slot in enumerate(slot_ids) if slot in self._users[sampler] and slot not in failures]
            slots = tuple(slot_ids[row] for row in users)
            if not slots:
                continue
            try:
                sampler.accept(slots, learnt if len(users) == len(slot_ids) else learnt[users])
            except Exception:
                for row, slot in zip(users, slots, strict=True):
                    try:
                        sampler.accept((slot,), learnt[row : row + 1])
                    except Exception as error:
                        failures[slot] = str(SamplerFailed(sampler, error))
                        tokens[row] = -1
        return failures


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SamplerFailed) else f"the chain failed: {type(error).__name__}: {error}"


def _some_rows(candidates: Candidates, only: slice) -> Candidates:
    return Candidates(
        logits=candidates.logits[only],
        ids=None if candidates.ids is None else candidates.ids[only],
        slots=candidates.slots[only],
        positions=candidates.positions[only],
        slot_ids=candidates.slot_ids[only],
    )
