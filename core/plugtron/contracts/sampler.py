"""Samplers: a chain of maps over the candidates of a draw. The controller draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from plugtron.contracts.row_stage import RowStage
from plugtron.plugin.options import Params
from plugtron.request.request import InferenceRequest, InferenceSequence
from plugtron.request.sampling_params import SamplingParams

if TYPE_CHECKING:
    import torch

__all__ = ["Candidates", "Sampler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The tokens that N rows may draw. A masked candidate has the logit -inf.

    Shapes: logits [N, C] float32; ids [N, C] int64, or None while the column is the token id; slots [N] int64;
    positions [N] int64, where in its sequence the drawn token will stand. `slot_ids` are the slots as numbers, so
    that no sampler has to wait for the device to learn them.
    """

    logits: torch.Tensor
    ids: torch.Tensor | None
    slots: torch.Tensor
    positions: torch.Tensor
    slot_ids: tuple[int, ...]


class Sampler(ABC):
    """One stage of the chain, on the rank that draws. It is applied to a step when any row of it uses the stage.

    A row that does not use it must come through unchanged; a row's outcome must not depend on the other rows.

    Attributes:
        params: the fields of a request that this sampler consumes.
        is_argmax_invariant: it never changes which candidate is the most likely, so greedy rows do without it.
        keeps_row_stage: what `row_stage` returns for slots stays right until a sequence is added or removed.
        reads_host_tokens: `apply` looks at a sequence's `tokens`, which must therefore be complete: no step is started
            before the one before it is finished while such a row is active.
    """

    params: ClassVar[type[Params]] = Params
    is_argmax_invariant: ClassVar[bool] = False
    keeps_row_stage: ClassVar[bool] = False
    reads_host_tokens: ClassVar[bool] = False

    @classmethod
    def asked(cls, params: SamplingParams) -> Params:
        """Return this sampler's fields of a request, validated.

        Raises:
            ValueError: a field has a wrong type or value (pydantic's ValidationError).
        """
        asked = params.asked()
        return cls.params.model_validate({name: asked[name] for name in cls.params.model_fields if name in asked})

    def uses(self, params: SamplingParams) -> bool:
        """Whether a request with these parameters needs this stage: by default, when any of its fields is set."""
        return any(name in params.asked() for name in self.params.model_fields)

    def check(self, request: InferenceRequest) -> None:
        """Refuse a request at admission by raising a ValueError. Must depend on nothing but the request."""

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember what `apply` needs to know of a sequence that uses this stage."""

    def remove(self, slot: int) -> None:
        """Forget a sequence that was added."""

    def prepare(self, slot_ids: tuple[int, ...]) -> None:
        """Begin, without waiting for it, what `apply` will need for these slots, such as work of another thread.

        It is called before the forward pass of a step that draws for them, which that work then runs beside.
        """

    @abstractmethod
    def apply(self, candidates: Candidates) -> Candidates:
        """Return the candidates after this stage; it may mask or narrow them. No wait for the device.

        Must change nothing that it or another call depends on: when a step fails it is tried again row by row.
        """

    def row_stage(self, slots: torch.Tensor, slot_ids: tuple[int, ...]) -> RowStage | None:
        """Return what `apply` does as an operation that kernels know; None: only `apply` can do it.

        Where the kernels and all stages behind this one can, it is asked in the place of `apply`, so that the stages at
        the end of a chain and the draw are one pass over a row. It may raise, and must not wait for the device.

        Args:
            slots, slot_ids: as in `Candidates`; some may not use this stage.
        """
        del slots, slot_ids
        return None

    def accept(self, slot_ids: tuple[int, ...], tokens: torch.Tensor) -> None:
        """Learn the tokens [N] that were drawn for these slots; 0 where none could be, whose request ends. No wait.

        When it raises it must have learnt nothing: it is then told of each slot alone, and fails those it raises for.
        """
