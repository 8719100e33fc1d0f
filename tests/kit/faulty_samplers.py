"""Samplers that are wrong, each in a way of its own."""

from dataclasses import replace

import torch
from offered import offered

from plugtron import Component, Params, hookimpl
from plugtron.contracts import Sampler


class FaultParams(Params):
    fault: float | None = None


class Right(Sampler):
    """Adds a number to even ids, as it should be done."""

    params = FaultParams

    def __init__(self):
        self.values = {}

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def add(self, slot, sequence):
        self.values[slot] = sequence.request.params.extra["fault"]

    def remove(self, slot):
        self.values.pop(slot)

    def added(self, candidates):
        amounts = torch.tensor([self.values.get(slot, 0.0) for slot in candidates.slot_ids])
        ids = torch.arange(candidates.logits.shape[1]).expand(candidates.logits.shape)
        even = (ids if candidates.ids is None else candidates.ids) % 2 == 0
        return candidates.logits + torch.where(even, amounts.unsqueeze(1), 0.0)

    def apply(self, candidates):
        return replace(candidates, logits=self.added(candidates))


class LooksAtOtherRows(Right):
    def apply(self, candidates):
        mean = candidates.logits[candidates.logits > -1e30].mean() if len(candidates.logits) else 0.0
        return replace(candidates, logits=self.added(candidates) + 0 * candidates.logits.clamp(min=-1) - mean)


class TouchesEveryRow(Right):
    def apply(self, candidates):
        return replace(candidates, logits=self.added(candidates) / 2)


class Unmasks(Right):
    def apply(self, candidates):
        return replace(candidates, logits=self.added(candidates).clamp(min=-100))


class TakesColumnsForTokens(Right):
    def apply(self, candidates):
        return (
            super().apply(replace(candidates, ids=None))
            if candidates.ids is None
            else replace(candidates, logits=super().added(replace(candidates, ids=None)))
        )


class WritesBack(Right):
    def apply(self, candidates):
        candidates.logits.copy_(self.added(candidates))
        return candidates


class CountsCalls(Right):
    calls = 0

    def apply(self, candidates):
        self.calls += 1
        return replace(candidates, logits=self.added(candidates) + 0.5 * (self.calls % 2) * (len(self.values) > 0))


class Remembers(Right):
    def add(self, slot, sequence):
        self.values.setdefault(slot, 0.0)
        self.values[slot] += sequence.request.params.extra["fault"]

    def remove(self, slot):
        pass


class Waits(Right):
    def apply(self, candidates):
        if len(candidates.logits):
            candidates.logits.max().item()
        return super().apply(candidates)


class WaitsForAMask(Right):
    def apply(self, candidates):
        candidates.logits[candidates.logits > 0]
        return super().apply(candidates)


class ChangesTheLikeliest(Right):
    is_argmax_invariant = True

    def apply(self, candidates):
        return replace(candidates, logits=-self.added(candidates)) if self.values else candidates


class Narrows(Right):
    def apply(self, candidates):
        return replace(candidates, logits=self.added(candidates)[:, :9])


class DoubleLogits(Right):
    def apply(self, candidates):
        return replace(candidates, logits=self.added(candidates).double())


class ReturnsLogits(Right):
    def apply(self, candidates):
        return self.added(candidates)


class NeedsRows(Right):
    def apply(self, candidates):
        candidates.logits.max()
        return super().apply(candidates)


class AlwaysUsed(Right):
    def uses(self, params):
        return True


class RemembersWhoCame(Right):
    """Favors even ids in every other sequence."""

    came = 0

    def add(self, slot, sequence):
        self.came += 1
        self.values[slot] = 9.0 * (-1) ** self.came


class HasADefault(Right):
    """Does its work for those, too, that have not asked for it."""

    def uses(self, params):
        return True

    def add(self, slot, sequence):
        self.values[slot] = sequence.request.params.extra.get("fault", 3.0)


class DependsOnRanks(Right):
    """Reckons with the vocabulary's shard."""

    ranks = 1

    @classmethod
    def assemble(cls, parts, options):
        made = cls()
        made.ranks = parts.runtime.tensor.size
        return made

    def add(self, slot, sequence):
        self.values[slot] = sequence.request.params.extra["fault"] * (3 * self.ranks - 2)


NAMES = offered(globals(), Sampler)


@hookimpl
def plugtron_samplers():
    offered = [
        Component(name=name, target=f"{__name__}:{value}", params=FaultParams, summary="wrong")
        for name, value in NAMES.items()
    ]
    return [
        *offered,
        Component(name="without_summary", target=f"{__name__}:Right", params=FaultParams),
        Component(name="not_there", target=f"{__name__}:Absent", params=FaultParams, summary="wrong"),
    ]
