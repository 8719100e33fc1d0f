"""What an attention has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from plugtron.context import PagedInferenceContext
from plugtron.contracts import AttentionBackend, AttentionMetadata, LayerState, ScheduledSequence, Scores, StepPlan
from plugtron.contracts.decoder import AttentionState, ModelInfo
from plugtron.kernels.attention import TorchAttention
from plugtron.parallel import Runtime
from plugtron.plugin.component import Kind
from plugtron.request import SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.checks.generation import PROMPTS, answers
from plugtron.testing.host import Host

__all__ = ["AttentionChecks"]

_SLOTS, _LONGEST, _BLOCK = 4, 40, 8
#: Tokens in memory before a step, and tokens that it computes, of each row: prompts, a chunk, single tokens.
_STEPS = (((0, 13), (0, 1), (0, 9)), ((13, 1), (1, 1), (9, 6), (0, 5)), ((14, 1), (2, 1), (15, 1), (5, 1)))


@dataclass(frozen=True, kw_only=True)
class _Shape:
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    chunk: int | None = None
    dtype: torch.dtype = torch.float32


_SHAPES = (
    _Shape(heads=4, kv_heads=2, head_dim=16),
    _Shape(heads=3, kv_heads=3, head_dim=20),
    _Shape(heads=8, kv_heads=1, head_dim=32),
    _Shape(heads=4, kv_heads=2, head_dim=16, window=5),
    _Shape(heads=4, kv_heads=2, head_dim=16, chunk=7),
)


class AttentionChecks(ComponentChecks):
    """Every attention passes these: it is compared with plugtron's own over several steps of several rows.

    Attributes:
        tolerance: how far outputs of normal numbers may be off, absolutely, in float32.
    """

    kind: ClassVar[Kind] = Kind.ATTENTION
    tolerance: ClassVar[float] = 1e-4

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[AttentionBackend]:
        """The attention, as a run has it."""
        values = {"model": {"checkpoint": str(model("plain")), "dtype": "float32"}, "attention": cls.reference(host)}
        attention = host.options({**values, "execution": "eager"}).attention
        assert attention is not None
        yield attention

    def test_heads_and_windows(self, plugtron_subject: AttentionBackend) -> None:
        """Grouped queries, odd widths, windows and chunks; prompts, pieces of prompts and single tokens together."""
        for shape in _SHAPES:
            self._compare(plugtron_subject, shape, Scores(scale=shape.head_dim**-0.5), _name(shape))

    def test_scale(self, plugtron_subject: AttentionBackend) -> None:
        """Products are multiplied with the scale that is asked for, not with one of its own."""
        self._compare(plugtron_subject, _SHAPES[0], Scores(scale=0.4), "scale 0.4")

    def test_soft_cap(self, plugtron_subject: AttentionBackend) -> None:
        """Scores are capped softly (Gemma 2)."""
        self._compare(plugtron_subject, _SHAPES[0], Scores(scale=0.4, soft_cap=1.5), "soft_cap 1.5")

    def test_slopes(self, plugtron_subject: AttentionBackend) -> None:
        """Scores grow with positions (ALiBi)."""
        slopes = torch.tensor([0.5, 0.25, 0.125, 0.0625])
        self._compare(plugtron_subject, _SHAPES[0], Scores(scale=0.25, slopes=slopes), "slopes")

    def test_sinks(self, plugtron_subject: AttentionBackend) -> None:
        """Sinks take their share of the weight (gpt-oss)."""
        sinks = torch.tensor([0.5, -1.0, 2.0, 0.0])
        self._compare(plugtron_subject, _SHAPES[0], Scores(scale=0.25, sinks=sinks), "sinks")

    def test_int8(self, plugtron_subject: AttentionBackend) -> None:
        """Memory in int8 is written and read with its scales, by those who say that they take it."""
        if not plugtron_subject.takes_int8:
            return  # runs that ask for it are refused before anything is computed
        for shape in (_SHAPES[0], _SHAPES[3]):
            # Rounding to the other neighbor is as good, and these are 1/127 of a head's largest number apart.
            whole = replace(shape, dtype=torch.int8)
            self._compare(plugtron_subject, whole, Scores(scale=shape.head_dim**-0.5), _name(whole), 0.03)

    def test_rows_are_independent(self, plugtron_subject: AttentionBackend) -> None:
        """Memory that belongs to no row, and other rows' tokens, change nothing, whatever they hold."""
        shape = _SHAPES[0]
        scores = Scores(scale=shape.head_dim**-0.5)
        plain = _outputs(plugtron_subject, shape, scores)
        for fill in (1e4, -1e4):
            for step, (found, expected) in enumerate(
                zip(_outputs(plugtron_subject, shape, scores, fill), plain, strict=True)
            ):
                if not torch.allclose(found, expected, atol=self.tolerance, rtol=1e-4):
                    refuse(f"step {step}: outputs change with what lies in memory that no row has written")

    def test_runs(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """Models answer as with plugtron's own, under both engines."""
        params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
        for engine in ("static", {"name": "dynamic", "options": {"block_size": 4, "max_step_tokens": 7}}):
            found = []
            for attention in (self.reference(plugtron_host), "torch"):
                model = {"checkpoint": str(plugtron_model("one_key_head")), "dtype": "float32"}
                values = {"model": model, "engine": engine, "attention": attention, "execution": "eager"}
                with plugtron_host.session(values) as session:
                    found.append([request.tokens for request in answers(session, PROMPTS, params)])
            if found[0] != found[1]:
                refuse(f"engine {engine}: tokens {found[0]}, with plugtron's attention {found[1]}")

    def _compare(
        self, attention: AttentionBackend, shape: _Shape, scores: Scores, what: str, rounding: float = 0.0
    ) -> None:
        tolerance = self.tolerance + rounding
        expected = _outputs(TorchAttention(), shape, scores)
        for step, (found, right) in enumerate(zip(_outputs(attention, shape, scores), expected, strict=True)):
            if found.shape != right.shape:
                refuse(f"{what}: attend returns {tuple(found.shape)} for queries {tuple(right.shape)}")
            off = float((found - right).abs().max())
            if not off <= tolerance:
                refuse(f"{what}: outputs of step {step} are off by {off:.3g} (accepted: {tolerance})")


def _name(shape: _Shape) -> str:
    return str(shape).removeprefix("_Shape")


def _outputs(attention: AttentionBackend, shape: _Shape, scores: Scores, fill: float = 0.0) -> list[torch.Tensor]:
    """What each of _STEPS gives; `fill`: what memory holds before them."""
    generator = torch.Generator().manual_seed(2)
    state, plans = _memory(shape, fill)
    found = []
    for metadata in plans:
        tokens = len(metadata.positions)
        query = torch.randn(tokens, shape.heads, shape.head_dim, generator=generator)
        key, value = (torch.randn(tokens, shape.kv_heads, shape.head_dim, generator=generator) for _ in range(2))
        attention.write(key, value, state, metadata)
        found.append(attention.attend(query, state, metadata, scores))
    return found


def _memory(shape: _Shape, fill: float) -> tuple[LayerState, Iterator[AttentionMetadata]]:
    kept = AttentionState(
        kv_heads=shape.kv_heads, head_dim=shape.head_dim, dtype=shape.dtype, window=shape.window, chunk=shape.chunk
    )
    info = ModelInfo(vocab_size=1, padded_vocab_size=1, hidden_size=1, max_positions=_LONGEST, states=(kept,))
    blocks = _SLOTS * _LONGEST // _BLOCK
    context = PagedInferenceContext(
        info, Runtime.create(device="cpu"), slots=_SLOTS, max_length=_LONGEST, blocks=blocks, block_size=_BLOCK
    )
    (state,) = context.layers
    if fill:
        state.keys.fill_(fill)
        state.values.fill_(fill)
    return state, _plans(context)


def _plans(context: PagedInferenceContext) -> Iterator[AttentionMetadata]:
    for number, step in enumerate(_STEPS):
        rows = tuple(_row(context, slot, *row, first=number == 0) for slot, row in enumerate(step))
        yield _fresh(context.view(StepPlan(step=number, rows=rows)))


def _row(context: PagedInferenceContext, slot: int, computed: int, new: int, *, first: bool) -> ScheduledSequence:
    if computed == 0:
        context.attach(slot, range(1, new + 1) if first else range(50, 50 + new))
    context.allocate(slot, computed + new)
    tokens = tuple(range(new))
    return ScheduledSequence(slot=slot, num_computed=computed, num_new=new, reserved=computed + new, tokens=tokens)


def _fresh(metadata: AttentionMetadata) -> AttentionMetadata:
    """Metadata whose derived values are its own: two attentions are compared over the same steps."""
    return replace(metadata, derived={})
