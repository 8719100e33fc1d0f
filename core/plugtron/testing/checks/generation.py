"""What holds for whatever runs requests: an engine, or a controller under an engine."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from plugtron.assembly.session import Session
from plugtron.request import FinishReason, InferenceRequest, RequestOutput, SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["PROMPTS", "GenerationChecks", "answers", "outputs_of"]

#: Prompts of several lengths, some with a common beginning, one of a single token.
PROMPTS: tuple[list[int], ...] = ([7, 9, 11, 13, 15, 17, 19], [3], [7, 9, 11, 13, 15, 2], [100, 4, 60], [21, 22])
_LONGEST = 12
#: Steps without an output, and seconds, after which a run is stuck; engines may wait for threads of their own.
_IDLE_STEPS, _PATIENCE_S = 200, 10.0


def answers(
    session: Session, prompts: Sequence[list[int]], params: SamplingParams, *, patience: float = _PATIENCE_S
) -> list[InferenceRequest]:
    """Run prompts in one batch, to their end."""
    requests = [InferenceRequest(prompt=list(prompt), params=params, index=at) for at, prompt in enumerate(prompts)]
    outputs_of(session, requests, patience=patience)
    return requests


def outputs_of(
    session: Session, requests: Sequence[InferenceRequest], *, patience: float = _PATIENCE_S
) -> list[RequestOutput]:
    """Run requests to their end, as `Session.run` does; what never ends is refused instead of waited for."""
    for request in requests:
        session.add_request(request)
    return remaining(session, patience=patience)


def remaining(session: Session, *, patience: float = _PATIENCE_S) -> list[RequestOutput]:
    """Step until nothing is left to do; refuse many steps, over `patience` seconds, of which nothing comes."""
    found: list[RequestOutput] = []
    idle, since = 0, time.monotonic()
    while session.has_unfinished_requests:
        new = session.step()
        found += new
        idle = 0 if new else idle + 1
        since = since if idle else time.monotonic()
        if idle > _IDLE_STEPS and time.monotonic() - since > patience:
            refuse(f"nothing comes of {idle} steps, and has_unfinished_requests is still true")
    return found


class GenerationChecks(ComponentChecks):
    """Checks over a whole run: `subject` is a session per engine, by the engine's name.

    Attributes:
        engines: under which engines it is to work.
        values: what a spec says besides, such as another model for an engine that brings its own.
        seeded: whether a request's seed decides its answer.
        patience: seconds without any output after which a run is taken for stuck.
    """

    engines: ClassVar[tuple[str, ...]] = ("static", "dynamic")
    values: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    seeded: ClassVar[bool] = True
    patience: ClassVar[float] = _PATIENCE_S

    @classmethod
    @abstractmethod
    def parts(cls, host: Host, engine: str) -> Mapping[str, Any]:
        """What a spec says of the component and the engine."""

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[dict[str, Session]]:
        """A session for each engine."""
        base = {"model": {"checkpoint": str(model("padded")), "dtype": "float32"}, "seed": 5}
        sessions: dict[str, Session] = {}
        try:
            for engine in cls.engines:
                sessions[engine] = host.session({**base, **cls.parts(host, engine), **cls.values})
            yield sessions
        finally:
            for session in sessions.values():
                session.close()

    def answers(self, session: Session, prompts: Sequence[list[int]], params: SamplingParams) -> list[InferenceRequest]:
        """Run prompts in one batch, to their end."""
        return answers(session, prompts, params, patience=self.patience)

    def outputs(self, session: Session, requests: Sequence[InferenceRequest]) -> list[RequestOutput]:
        """Run requests to their end; what was yielded of them."""
        return outputs_of(session, requests, patience=self.patience)

    def test_one_at_a_time(self, plugtron_subject: dict[str, Session]) -> None:
        """A batch gives what its requests give one at a time."""
        for engine, session in plugtron_subject.items():
            together = _tokens(session, self.answers(session, PROMPTS, _greedy()))
            for at, prompt in enumerate(PROMPTS):
                alone = _tokens(session, self.answers(session, [prompt], _greedy()))[0]
                if alone != together[at]:
                    refuse(f"{engine}: prompt {at} gives {together[at]} in a batch of {len(PROMPTS)}, alone {alone}")

    def test_order_of_results(self, plugtron_subject: dict[str, Session]) -> None:
        """Results are their requests', whichever ends first."""
        for engine, session in plugtron_subject.items():
            each = [InferenceRequest(prompt=list(p), params=_greedy(2 + at), index=at) for at, p in enumerate(PROMPTS)]
            for output in self.outputs(session, each[::-1]):
                if output.request not in each:
                    refuse(f"{engine}: it reports on a request that nobody has added")
            found = [len(request.tokens) for request in each]
            if found != [2 + at for at in range(len(PROMPTS))]:
                refuse(f"{engine}: answers have {found} tokens, asked for were 2, 3, 4, ...")

    def test_lengths_and_stops(self, plugtron_subject: dict[str, Session]) -> None:
        """max_tokens, stop tokens and the end of a text end a request, and it says which."""
        for engine, session in plugtron_subject.items():
            (whole,) = self.answers(session, PROMPTS[:1], _greedy())
            if whole.finish_reason != FinishReason.LENGTH or len(whole.tokens) != _LONGEST:
                refuse(f"{engine}: {len(whole.tokens)} tokens of {_LONGEST}, and finish_reason {whole.finish_reason}")
            stop = whole.tokens[4]
            params = _greedy().model_copy(update={"stop_token_ids": [stop]})
            (stopped,) = self.answers(session, PROMPTS[:1], params)
            expected = whole.tokens[: whole.tokens.index(stop) + 1]
            if stopped.finish_reason != FinishReason.STOP or stopped.tokens != expected:
                refuse(
                    f"{engine}: stop token {stop} gives {stopped.tokens}, expected {expected} and finish_reason stop"
                )

    def test_streams_what_it_gives(self, plugtron_subject: dict[str, Session]) -> None:
        """What steps yield adds up to the result, and the last of it says why the request ended."""
        for engine, session in plugtron_subject.items():
            request = InferenceRequest(prompt=list(PROMPTS[0]), params=_greedy())
            outputs = self.outputs(session, [request])
            text = "".join(output.text for output in outputs)
            tokens = [token for output in outputs for token in output.tokens]
            if tokens != request.tokens or text != request.text:
                refuse(f"{engine}: streamed {tokens} {text!r}, the result has {request.tokens} {request.text!r}")
            if [output.finish_reason is None for output in outputs] != [True] * (len(outputs) - 1) + [False]:
                refuse(f"{engine}: the last output alone must have a finish_reason")

    def test_seeds(self, plugtron_subject: dict[str, Session]) -> None:
        """A seeded request gives the same again, alone or in company; other seeds give others."""
        if not self.seeded:
            return
        params = _greedy().model_copy(update={"temperature": 1.5, "seed": 3})
        for engine, session in plugtron_subject.items():
            first = self.answers(session, PROMPTS[:1], params)[0].tokens
            again = self.answers(session, [*PROMPTS[1:], PROMPTS[0]], params)[-1].tokens
            if first != again:
                refuse(f"{engine}: seed 3 gives {first} alone and {again} in company")
            if first == self.answers(session, PROMPTS[:1], params.model_copy(update={"seed": 4}))[0].tokens:
                refuse(f"{engine}: seeds 3 and 4 give the same {first}")

    def test_several_answers(self, plugtron_subject: dict[str, Session]) -> None:
        """n asks for as many answers, each of its own, and streamed under its index. Or n is refused."""
        params = _greedy().model_copy(update={"temperature": 1.5, "seed": 3, "n": 3})
        for engine, session in plugtron_subject.items():
            request = InferenceRequest(prompt=list(PROMPTS[0]), params=params)
            outputs = self.outputs(session, [request])
            if request.error is not None:
                continue
            if len(request.sequences) != params.n:
                refuse(f"{engine}: n=3 gives {len(request.sequences)} sequences")
            for sequence in request.sequences:
                streamed = [token for output in outputs if output.sequence == sequence.index for token in output.tokens]
                if streamed != sequence.tokens or len(streamed) != _LONGEST:
                    refuse(f"{engine}: answer {sequence.index} of 3 is {sequence.tokens}, streamed {streamed}")
            if len({tuple(sequence.tokens) for sequence in request.sequences}) == 1:
                refuse(f"{engine}: n=3 gives {request.tokens} three times")

    def test_aborts(self, plugtron_subject: dict[str, Session]) -> None:
        """An aborted request ends before the next step; the others go on as if nothing had been."""
        for engine, session in plugtron_subject.items():
            expected = _tokens(session, self.answers(session, PROMPTS[:1], _greedy()))[0]
            kept, ended = (InferenceRequest(prompt=list(prompt), params=_greedy()) for prompt in PROMPTS[:2])
            session.add_request(kept)
            number = session.add_request(ended)
            session.step()
            if not session.abort_request(number):
                refuse(f"{engine}: abort_request says that a running request is not there")
            remaining(session, patience=self.patience)
            if ended.finish_reason != FinishReason.ABORT or len(ended.tokens) >= _LONGEST:
                refuse(f"{engine}: an aborted request ends with {ended.finish_reason} and {len(ended.tokens)} tokens")
            if kept.tokens != expected:
                refuse(f"{engine}: a request gives {kept.tokens} beside one that is aborted, and {expected} without")
            if session.abort_request(number):
                refuse(f"{engine}: a request that has ended can be aborted again")

    def test_failing_request_is_alone(self, plugtron_subject: dict[str, Session]) -> None:
        """A request that is wrong fails with its error; those beside it do not notice."""
        for engine, session in plugtron_subject.items():
            right = _tokens(session, self.answers(session, PROMPTS[:2], _greedy()))
            try:
                found = self.answers(session, [PROMPTS[0], [10**6], PROMPTS[1]], _greedy())
            except Exception as error:
                refuse(f"{engine}: a prompt with an id outside the vocabulary raises {type(error).__name__}: {error}")
            if not found[1].error or found[1].finish_reason != FinishReason.ERROR:
                refuse(f"{engine}: a prompt with an id outside the vocabulary ends with {found[1].finish_reason}")
            if found[0].error or found[2].error or [found[0].tokens, found[2].tokens] != right:
                refuse(
                    f"{engine}: requests beside one that fails give something else: {found[0].error or found[2].error}"
                )

    def test_leaves_nothing(self, plugtron_subject: dict[str, Session]) -> None:
        """When all is done nothing is waiting or held, and the next run gives the same."""
        for engine, session in plugtron_subject.items():
            first = _tokens(session, self.answers(session, PROMPTS * 3, _greedy()))
            if session.has_unfinished_requests:
                refuse(f"{engine}: has_unfinished_requests is true when every request has ended")
            stats = session.engine.stats
            held = 0 if stats is None else stats.blocks_used + stats.running + stats.waiting
            if held:
                refuse(f"{engine}: its stats count {held} blocks and sequences when every request has ended")
            if _tokens(session, self.answers(session, PROMPTS * 3, _greedy())) != first:
                refuse(f"{engine}: a second run of the same prompts gives something else")


def _greedy(tokens: int = _LONGEST) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)


def _tokens(session: Session, requests: Sequence[InferenceRequest]) -> list[list[int]]:
    for request in requests:
        if request.error is not None:
            refuse(f"{session.resolved.spec.engine.name}: request {request.index} fails: {request.error}")
    return [request.tokens for request in requests]
