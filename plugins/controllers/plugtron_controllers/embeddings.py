"""Embeddings: final hidden states of prompts, pooled as they come, and those of single layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from plugtron.contracts import ModelInfo, ModelWrapper, StepOutput, StepPlan
from plugtron.errors import RequestError
from plugtron.request import InferenceRequest, InferenceSequence

__all__ = ["Embeddings", "Piece", "check_embedding", "pool", "room_for"]

#: Below this a length is taken for it, so that nothing is divided by zero (as torch.nn.functional.normalize does).
_LEAST_LENGTH = 1e-12


class Piece(NamedTuple):
    """The positions of one slot that a step gives hidden states of: so many up to `end`, from row `first` on.

    `layers`: those whose hidden states are wanted as well, counted from the embedding on.
    """

    slot: int
    first: int
    positions: int
    end: int
    pooling: str
    layers: tuple[int, ...]


@dataclass(slots=True)
class _Pooled:
    """An embedding in the making: the states of `done` positions have been taken."""

    sequence: InferenceSequence
    pooling: str
    layers: tuple[int, ...]
    done: int = 0
    total: Tensor | None = None
    states: dict[int, list[list[float]]] = field(default_factory=dict)


class Embeddings:
    """The active sequences that want an embedding.

    What of one has been taken is kept when its sequence is computed again after a preemption.

    Args:
        model: says how many layers there are.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._model = model
        self._slots: dict[int, _Pooled] = {}

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Take a sequence up, if it wants one."""
        params = sequence.request.params
        if params.pooling is not None:
            layers = {_layer(asked, self._model) for asked in params.hidden_layers or ()}
            self._slots[slot] = _Pooled(sequence, params.pooling, tuple(sorted(layers)))

    def remove(self, slot: int) -> None:
        """Let go of it."""
        self._slots.pop(slot, None)

    def first(self, sequence: InferenceSequence) -> int | None:
        """From which position on hidden states are wanted, of a sequence that may not have been taken up yet.

        Returns:
            None: it wants no embedding.
        """
        params = sequence.request.params
        if params.pooling is None:
            return None
        own = None if sequence.slot is None else self._slots.get(sequence.slot)
        done = 0 if own is None else own.done
        if params.pooling == "mean" or params.hidden_layers:
            return done
        return 0 if params.pooling == "cls" else sequence.length - 1

    def ask(self, plan: StepPlan) -> tuple[StepPlan, tuple[Piece, ...]]:
        """Return the plan with hidden states in the place of logits, where they are wanted, and which those are.

        Those that the plan wants already are of other slots, and stay.
        """
        if not self._slots:
            return plan, ()
        rows, pieces, place = list(plan.rows), list[Piece](), 0
        for number, row in enumerate(plan.rows):
            own = self._slots.get(row.slot)
            if own is None or not row.num_logits:
                place += plan.hidden.get(row.slot, 0)
                continue
            rows[number] = row._replace(num_logits=0)
            pieces.append(Piece(row.slot, place, row.num_logits, row.end, own.pooling, own.layers))
            place += row.num_logits
        hidden = {**plan.hidden, **{piece.slot: piece.positions for piece in pieces}}
        return replace(plan, rows=tuple(rows), hidden=hidden, hidden_layers=_layers_of(pieces)), tuple(pieces)

    def take(self, pieces: Sequence[Piece], numbers: Sequence[Sequence[list[float]]]) -> dict[int, str]:
        """Add what a step gave, as `pool` has it; of a prompt that is whole the request gets its embedding.

        Returns:
            Why there is none, by slot.
        """
        if not pieces:
            return {}
        failures: dict[int, str] = {}
        vectors, *states = numbers
        at, layers = 0, _layers_of(pieces)
        for piece, vector in zip(pieces, vectors, strict=True):
            rows, at = slice(at, at + piece.positions), at + (piece.positions if piece.layers else 0)
            own = self._slots.get(piece.slot)
            if own is None:
                continue  # it has been aborted while its step was under way
            for layer, found in zip(layers, states, strict=True):
                if layer in piece.layers:
                    own.states.setdefault(layer, []).extend(found[rows])
            _add(own, piece, torch.tensor(vector, dtype=torch.float64))
            # All that there is to know of a first token comes with it.
            if own.done == own.sequence.length or (own.pooling == "cls" and not own.layers):
                self._finish(own)
                if own.sequence.request.embedding is None:
                    failures[piece.slot] = "the model's hidden states are not finite numbers: there is no embedding"
        return failures

    def _finish(self, own: _Pooled) -> None:
        request = own.sequence.request
        assert own.total is not None
        vector = own.total / own.done if own.pooling == "mean" else own.total
        if request.params.normalize is not False:
            vector = vector / max(float(vector.norm()), _LEAST_LENGTH)
        if not bool(vector.isfinite().all()):
            return
        request.embedding = vector.tolist()
        request.hidden_states = {
            asked: own.states[_layer(asked, self._model)] for asked in request.params.hidden_layers or ()
        }


def check_embedding(request: InferenceRequest, wrapper: ModelWrapper) -> None:
    """Refuse an embedding that cannot be had, and anything else of a model without a head.

    Raises:
        RequestError: the text is empty, the run gives no hidden states, or there is no such layer.
    """
    params = request.params
    if params.pooling is None:
        if wrapper.info.headless:
            raise RequestError("this checkpoint has no head: it gives embeddings alone (accepted: with pooling)")
        return
    if request.prompt == "":
        raise RequestError("the text is empty: there is nothing to embed")
    if reason := wrapper.why_no_hidden_states():
        raise RequestError(f"pooling: this run gives no embeddings: {reason}")
    if params.hidden_layers is None:
        return
    if reason := wrapper.why_no_hidden_states(layers=True):
        raise RequestError(f"hidden_layers: {reason}")
    count = len(wrapper.info.states)
    for layer in params.hidden_layers:
        if not -count - 1 <= layer <= count:
            raise RequestError(f"hidden_layers: {layer} is none of this model's (accepted: {-count - 1} to {count})")


def pool(pieces: Sequence[Piece], output: StepOutput) -> tuple[Tensor, ...]:
    """Return what a step adds to each embedding, [P, E] float32; then, for each layer that is wanted, its states."""
    assert output.hidden is not None
    vectors = [_vector(piece, output.hidden[piece.first : piece.first + piece.positions]) for piece in pieces]
    chosen = [at for piece in pieces if piece.layers for at in range(piece.first, piece.first + piece.positions)]
    return torch.stack(vectors), *(states[chosen] for states in output.layers)


def room_for(pieces: Sequence[Piece], model: ModelInfo, device: torch.device) -> tuple[Tensor, ...]:
    """Return an empty place for what `pool` gives on another rank."""
    final = model.final_size or model.hidden_size
    positions = sum(piece.positions for piece in pieces if piece.layers)
    widths = [final if layer == len(model.states) else model.hidden_size for layer in _layers_of(pieces)]
    shapes = [(len(pieces), final), *((positions, width) for width in widths)]
    return tuple([torch.zeros(shape, dtype=torch.float32, device=device) for shape in shapes])


def _vector(piece: Piece, rows: Tensor) -> Tensor:
    if piece.pooling == "mean":
        return rows.sum(dim=0)
    return rows[0] if piece.pooling == "cls" else rows[-1]


def _add(own: _Pooled, piece: Piece, vector: Tensor) -> None:
    """Add a step's part: of `cls` the first counts, of `last` the last."""
    if own.pooling == "mean" and own.total is not None:
        own.total = own.total + vector
    elif own.pooling != "cls" or own.total is None:
        own.total = vector
    own.done = piece.end


def _layer(asked: int, model: ModelInfo) -> int:
    """A layer counted from the embedding on."""
    return asked if asked >= 0 else len(model.states) + 1 + asked


def _layers_of(pieces: Sequence[Piece]) -> tuple[int, ...]:
    """All layers that some slot wants, in order; the same on every rank."""
    return tuple(sorted({layer for piece in pieces for layer in piece.layers}))
