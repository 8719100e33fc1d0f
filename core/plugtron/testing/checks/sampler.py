"""What a sampler has to keep to, whoever's it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from plugtron.contracts import Candidates, Sampler
from plugtron.plugin.component import Kind
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host
from plugtron.testing.no_sync import WatchSyncs
from plugtron.testing.requests import candidates_of, request_of, sequence_of

__all__ = ["SamplerChecks"]

_ROWS = 5
_INFINITY = float("inf")


class SamplerChecks(ComponentChecks):
    """Every sampler passes these.

    Attributes:
        cases: sets of a request's parameters that use the sampler, on a model whose ids are bytes, 0 to 255, and some
            more (see `plugtron.testing.models`).
    """

    kind: ClassVar[Kind] = Kind.SAMPLER
    cases: ClassVar[Sequence[Mapping[str, Any]]]

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[tuple[Sampler, int]]:
        """The sampler in a chain of its own, and how many ids the model has."""
        values = {
            "model": {"checkpoint": str(model("padded")), "dtype": "float32"},
            "execution": "eager",
            "samplers": [cls.reference(host)],
        }
        with host.session(values) as session:
            assert session.parts.wrapper is not None
            yield session.parts.samplers[0], session.parts.wrapper.info.vocab_size

    def test_parameters(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """Every case is valid and uses the sampler; a request without parameters does not."""
        sampler, _ = plugtron_subject
        if not self.cases:
            refuse("cases is empty: give at least one set of parameters that uses the sampler")
        if sampler.uses(request_of({}).params):
            refuse("a request without parameters uses it: every parameter must be None by default")
        for case in self.cases:
            sampler.asked(request_of(case).params)
            sampler.check(request_of(case))
            if not sampler.uses(request_of(case).params):
                refuse(f"a request with {case} does not use it")

    def test_shapes(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """It returns Candidates of the same rows: float32 logits [N, C], and ids for each column, each a token."""
        for case in self.cases:
            for rows in (1, _ROWS):
                given = _random(rows, plugtron_subject[1])
                _well_formed(self._applied(plugtron_subject[0], case, given), given, plugtron_subject[1])

    def test_no_rows(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """A step may have no row that draws."""
        sampler, vocabulary = plugtron_subject
        given = candidates_of(torch.zeros(0, vocabulary), [])
        _well_formed(sampler.apply(given), given, vocabulary)

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_rows_are_independent(self, plugtron_subject: tuple[Sampler, int], precision: str) -> None:
        """What a row becomes does not depend on the rows beside it, ties among logits included."""
        sampler, vocabulary = plugtron_subject
        given = _random(_ROWS, vocabulary)
        given = candidates_of(given.logits.to(getattr(torch, precision)).float(), given.slot_ids)
        for case in self.cases:
            together = self._applied(sampler, case, given)
            for row in range(_ROWS):
                alone = self._applied(sampler, case, _rows(given, [row]))
                if not torch.equal(_by_token(together, vocabulary)[row], _by_token(alone, vocabulary)[0]):
                    refuse(f"with {case} row {row} of {_ROWS} becomes something else than alone")

    def test_other_rows_come_through(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """A row that does not use it keeps its logits, whatever rows beside it do."""
        sampler, vocabulary = plugtron_subject
        given = _random(_ROWS, vocabulary)
        for case in self.cases:
            found = self._applied(sampler, case, given, users=[1, 3])
            for row in (0, 2, 4):
                if not torch.equal(_by_token(found, vocabulary)[row], given.logits[row]):
                    refuse(f"row {row} does not use it, and changes when rows beside it have {case}")

    def test_masked_stays_masked(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """A candidate that another stage has masked with -inf stays so, and no logit becomes NaN."""
        sampler, vocabulary = plugtron_subject
        given = _random(_ROWS, vocabulary)
        given.logits[:, ::3] = -_INFINITY
        for case in self.cases:
            found = _by_token(self._applied(sampler, case, given), vocabulary)
            if found.isnan().any() or (found == _INFINITY).any():
                refuse(f"with {case} logits become NaN or infinite where some are masked")
            if (found[:, ::3] != -_INFINITY).any():
                refuse(f"with {case} masked candidates (-inf) become possible again")

    def test_columns_have_ids(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """Where candidates come with ids, a column is not a token: in another order they become the same."""
        sampler, vocabulary = plugtron_subject
        given = _random(_ROWS, vocabulary)
        order = torch.stack([torch.randperm(vocabulary) for _ in range(_ROWS)])
        mixed = candidates_of(given.logits.gather(1, order), given.slot_ids, ids=order)
        for case in self.cases:
            found = _by_token(self._applied(sampler, case, mixed), vocabulary)
            expected = _by_token(self._applied(sampler, case, given), vocabulary)
            if not torch.allclose(found, expected, rtol=1e-5, atol=1e-6):
                refuse(f"with {case} candidates become others when their columns are in another order: read their ids")

    def test_repeats(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """Applied again to the same it gives the same, and changes nothing that it is given: a step may be retried."""
        sampler, vocabulary = plugtron_subject
        for case in self.cases:
            given = _random(_ROWS, vocabulary)
            before = given.logits.clone()
            with self._added(sampler, case, given.slot_ids):
                first = _by_token(sampler.apply(given), vocabulary)
                if not torch.equal(given.logits, before):
                    refuse(f"with {case} it writes into the logits it is given: return new ones")
                if not torch.equal(first, _by_token(sampler.apply(given), vocabulary)):
                    refuse(f"with {case} a second call gives something else: apply must not change what it depends on")

    def test_forgets(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """A slot's next sequence starts afresh, and a removed sequence leaves nothing behind."""
        sampler, vocabulary = plugtron_subject
        given = _random(1, vocabulary)
        for case in self.cases:
            fresh = _by_token(self._applied(sampler, case, given), vocabulary)
            with self._added(sampler, case, given.slot_ids, tokens=(5, 6, 7)):
                sampler.accept(given.slot_ids, torch.tensor([9]))
            if not torch.equal(fresh, _by_token(self._applied(sampler, case, given), vocabulary)):
                refuse(f"with {case} a slot remembers the sequence that had it before: remove() must forget it")
            if not torch.equal(_by_token(sampler.apply(given), vocabulary), given.logits):
                refuse(f"with {case} a row without a sequence is changed after remove()")

    def test_does_not_wait(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """On a GPU, a step that reads numbers back (item(), a mask as an index) waits for all that was launched."""
        sampler, vocabulary = plugtron_subject
        given = _random(_ROWS, vocabulary)
        for case in self.cases:
            with self._added(sampler, case, given.slot_ids), WatchSyncs() as watched:
                sampler.apply(given)
                sampler.accept(given.slot_ids, torch.zeros(_ROWS, dtype=torch.int64))
            if watched.found:
                refuse(f"with {case} a GPU's host would wait: {', '.join(dict.fromkeys(watched.found))}")

    def test_keeps_the_likeliest(self, plugtron_subject: tuple[Sampler, int]) -> None:
        """Where it says is_argmax_invariant, greedy rows go without it."""
        sampler, vocabulary = plugtron_subject
        given = _random(_ROWS, vocabulary)
        for case in self.cases if sampler.is_argmax_invariant else ():
            if not torch.equal(
                _by_token(self._applied(sampler, case, given), vocabulary).argmax(1), given.logits.argmax(1)
            ):
                refuse(f"with {case} the likeliest candidate changes, though is_argmax_invariant says never")

    def _applied(
        self, sampler: Sampler, case: Mapping[str, Any], given: Candidates, users: Sequence[int] | None = None
    ) -> Candidates:
        """What candidates become, the rows of `users` (None: all) using the sampler."""
        slots = given.slot_ids if users is None else [given.slot_ids[row] for row in users]
        with self._added(sampler, case, slots):
            return sampler.apply(candidates_of(given.logits, given.slot_ids, ids=given.ids))

    @staticmethod
    def _added(sampler: Sampler, case: Mapping[str, Any], slots: Sequence[int], tokens: Sequence[int] = ()) -> _Added:
        return _Added(sampler, case, slots, tokens)


class _Added:
    """A context in which sequences use a sampler."""

    def __init__(self, sampler: Sampler, case: Mapping[str, Any], slots: Sequence[int], tokens: Sequence[int]) -> None:
        self._sampler, self._slots = sampler, slots
        self._sequences = [sequence_of(case, slot=slot, tokens=tokens) for slot in slots]

    def __enter__(self) -> None:
        for slot, sequence in zip(self._slots, self._sequences, strict=True):
            self._sampler.add(slot, sequence)

    def __exit__(self, *_error: object) -> None:
        for slot in self._slots:
            self._sampler.remove(slot)


def _random(rows: int, vocabulary: int) -> Candidates:
    generator = torch.Generator().manual_seed(rows)
    logits = 3 * torch.randn(rows, vocabulary, generator=generator)
    return candidates_of(logits, [2 * row + 1 for row in range(rows)])


def _rows(given: Candidates, rows: Sequence[int]) -> Candidates:
    return candidates_of(given.logits[list(rows)], [given.slot_ids[row] for row in rows])


def _by_token(candidates: Candidates, vocabulary: int) -> torch.Tensor:
    """The logit of every token, [N, V]; -inf where a token is no candidate."""
    if candidates.ids is None:
        return candidates.logits
    spread = torch.full((len(candidates.logits), vocabulary), -_INFINITY)
    return spread.scatter(1, candidates.ids, candidates.logits)


def _well_formed(found: object, given: Candidates, vocabulary: int) -> None:
    if not isinstance(found, Candidates):
        refuse(f"apply returns a {type(found).__name__}, not plugtron.contracts.Candidates")
    rows, logits, ids = len(given.slot_ids), found.logits, found.ids
    if logits.dtype != torch.float32:
        refuse(f"apply returns logits in {logits.dtype}, not in torch.float32")
    if logits.dim() != 2 or len(logits) != rows:
        refuse(f"apply returns logits of shape {tuple(logits.shape)} for {rows} rows")
    if ids is None and logits.shape[1] != vocabulary:
        refuse(f"apply returns {logits.shape[1]} of {vocabulary} candidates, and no ids that say which")
    if ids is not None and (ids.shape != logits.shape or ids.dtype != torch.int64):
        refuse(f"apply returns ids {tuple(ids.shape)} in {ids.dtype} beside logits {tuple(logits.shape)}")
    if ids is not None and ids.numel() and (ids.min() < 0 or ids.max() >= vocabulary):
        refuse(f"apply returns ids that are no tokens (0 to {vocabulary - 1})")
    if found.slot_ids != given.slot_ids:
        refuse("apply changes which rows there are (slot_ids)")
