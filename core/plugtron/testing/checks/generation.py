"""What holds for whatever runs requests: an engine, or a controller under an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from plugtron.assembly.session import Session
from plugtron.request import FinishReason, InferenceRequest, SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["PROMPTS", "GenerationChecks", "answers"]

#: Prompts of several lengths, some with a common beginning, one of a single token.
PROMPTS: tuple[list[int], ...] = ([7, 9, 11, 13, 15, 17, 19], [3], [7, 9, 11, 13, 15, 2], [100, 4, 60], [21, 22])
_LONGEST = 12


def answers(session: Session, prompts: Sequence[list[int]], params: SamplingParams) -> list[InferenceRequest]:
    """Run prompts in one batch, to their end."""
    requests = [InferenceRequest(prompt=list(prompt), params=params, index=at) for at, prompt in enumerate(prompts)]
    for _ in session.run(requests):
        pass
    return requests


class GenerationChecks(ComponentChecks):
    """Checks over a whole run: `subject` is a session per engine, by the engine's name.

    Attributes:
        engines: under which engines it is to work.
        values: what a spec says besides, such as another model for an engine that brings its own.
        seeded: whether a request's seed decides its answer.
    """

    engines: ClassVar[tuple[str, ...]] = ("static", "dynamic")
    values: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    seeded: ClassVar[bool] = True

    @classmethod
    def parts(cls, host: Host, engine: str) -> Mapping[str, Any]:
        """What a spec says of the component and the engine."""
        raise NotImplementedError

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

    def test_one_at_a_time(self, plugtron_subject: dict[str, Session]) -> None:
        """A batch gives what its requests give one at a time."""
        for engine, session in plugtron_subject.items():
            together = _tokens(session, answers(session, PROMPTS, _greedy()))
            for at, prompt in enumerate(PROMPTS):
                alone = _tokens(session, answers(session, [prompt], _greedy()))[0]
                if alone != together[at]:
                    refuse(f"{engine}: prompt {at} gives {together[at]} in a batch of {len(PROMPTS)}, alone {alone}")

    def test_order_of_results(self, plugtron_subject: dict[str, Session]) -> None:
        """Results are their requests', whichever ends first."""
        for engine, session in plugtron_subject.items():
            each = [InferenceRequest(prompt=list(p), params=_greedy(2 + at), index=at) for at, p in enumerate(PROMPTS)]
            for output in session.run(each[::-1]):
                if output.request not in each:
                    refuse(f"{engine}: it reports on a request that nobody has added")
            found = [len(request.tokens) for request in each]
            if found != [2 + at for at in range(len(PROMPTS))]:
                refuse(f"{engine}: answers have {found} tokens, asked for were 2, 3, 4, ...")

    def test_lengths_and_stops(self, plugtron_subject: dict[str, Session]) -> None:
        """max_tokens, stop tokens and the end of a text end a request, and it says which."""
        for engine, session in plugtron_subject.items():
            (whole,) = answers(session, PROMPTS[:1], _greedy())
            if whole.finish_reason != FinishReason.LENGTH or len(whole.tokens) != _LONGEST:
                refuse(f"{engine}: {len(whole.tokens)} tokens of {_LONGEST}, and finish_reason {whole.finish_reason}")
            stop = whole.tokens[4]
            params = _greedy().model_copy(update={"stop_token_ids": [stop]})
            (stopped,) = answers(session, PROMPTS[:1], params)
            expected = whole.tokens[: whole.tokens.index(stop) + 1]
            if stopped.finish_reason != FinishReason.STOP or stopped.tokens != expected:
                refuse(
                    f"{engine}: stop token {stop} gives {stopped.tokens}, expected {expected} and finish_reason stop"
                )

    def test_streams_what_it_gives(self, plugtron_subject: dict[str, Session]) -> None:
        """What steps yield adds up to the result, and the last of it says why the request ended."""
        for engine, session in plugtron_subject.items():
            request = InferenceRequest(prompt=list(PROMPTS[0]), params=_greedy())
            outputs = list(session.run([request]))
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
            first = answers(session, PROMPTS[:1], params)[0].tokens
            again = answers(session, [*PROMPTS[1:], PROMPTS[0]], params)[-1].tokens
            if first != again:
                refuse(f"{engine}: seed 3 gives {first} alone and {again} in company")
            if first == answers(session, PROMPTS[:1], params.model_copy(update={"seed": 4}))[0].tokens:
                refuse(f"{engine}: seeds 3 and 4 give the same {first}")

    def test_aborts(self, plugtron_subject: dict[str, Session]) -> None:
        """An aborted request ends before the next step; the others go on as if nothing had been."""
        for engine, session in plugtron_subject.items():
            expected = _tokens(session, answers(session, PROMPTS[:1], _greedy()))[0]
            kept, ended = (InferenceRequest(prompt=list(prompt), params=_greedy()) for prompt in PROMPTS[:2])
            session.add_request(kept)
            number = session.add_request(ended)
            session.step()
            if not session.abort_request(number):
                refuse(f"{engine}: abort_request says that a running request is not there")
            while session.has_unfinished_requests:
                session.step()
            if ended.finish_reason != FinishReason.ABORT or len(ended.tokens) >= _LONGEST:
                refuse(f"{engine}: an aborted request ends with {ended.finish_reason} and {len(ended.tokens)} tokens")
            if kept.tokens != expected:
                refuse(f"{engine}: a request gives {kept.tokens} beside one that is aborted, and {expected} without")
            if session.abort_request(number):
                refuse(f"{engine}: a request that has ended can be aborted again")

    def test_failing_request_is_alone(self, plugtron_subject: dict[str, Session]) -> None:
        """A request that is wrong fails with its error; those beside it do not notice."""
        for engine, session in plugtron_subject.items():
            right = _tokens(session, answers(session, PROMPTS[:2], _greedy()))
            found = answers(session, [PROMPTS[0], [10**6], PROMPTS[1]], _greedy())
            if not found[1].error or found[1].finish_reason != FinishReason.ERROR:
                refuse(f"{engine}: a prompt with an id outside the vocabulary ends with {found[1].finish_reason}")
            if found[0].error or found[2].error or [found[0].tokens, found[2].tokens] != right:
                refuse(
                    f"{engine}: requests beside one that fails give something else: {found[0].error or found[2].error}"
                )

    def test_leaves_nothing(self, plugtron_subject: dict[str, Session]) -> None:
        """When all is done nothing is waiting or held, and the next run gives the same."""
        for engine, session in plugtron_subject.items():
            first = _tokens(session, answers(session, PROMPTS * 3, _greedy()))
            if session.has_unfinished_requests:
                refuse(f"{engine}: has_unfinished_requests is true when every request has ended")
            stats = session.engine.stats
            held = 0 if stats is None else stats.blocks_used + stats.running + stats.waiting
            if held:
                refuse(f"{engine}: its stats count {held} blocks and sequences when every request has ended")
            if _tokens(session, answers(session, PROMPTS * 3, _greedy())) != first:
                refuse(f"{engine}: a second run of the same prompts gives something else")


def _greedy(tokens: int = _LONGEST) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)


def _tokens(session: Session, requests: Sequence[InferenceRequest]) -> list[list[int]]:
    for request in requests:
        if request.error is not None:
            refuse(f"{session.resolved.spec.engine.name}: request {request.index} fails: {request.error}")
    return [request.tokens for request in requests]
