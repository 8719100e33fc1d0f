"""What an engine has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from plugtron.assembly.session import Session
from plugtron.plugin.component import Kind
from plugtron.request import InferenceRequest, SamplingParams
from plugtron.testing.checks.base import refuse
from plugtron.testing.checks.generation import PROMPTS, GenerationChecks, answers
from plugtron.testing.host import Host

__all__ = ["EngineChecks", "SharedModelEngineChecks"]


class EngineChecks(GenerationChecks):
    """Every engine passes these, one that brings its own model too: `values` says which, and `seeded` what it can."""

    kind: ClassVar[Kind] = Kind.ENGINE

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[dict[str, Session]]:
        """One session, by the engine's own name."""
        base = {"model": {"checkpoint": str(model("padded")), "dtype": "float32"}, "seed": 5}
        with host.session({**base, **cls.parts(host, cls.component), **cls.values}) as session:
            yield {cls.component: session}

    @classmethod
    def parts(cls, host: Host, engine: str) -> Mapping[str, Any]:
        """The engine itself."""
        del engine
        return {"engine": cls.reference(host)}

    def test_closes(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """It can be closed with requests under way, and twice; nothing is left to do then."""
        found: list[str] = []
        try:
            with self.subject(plugtron_host, plugtron_model) as sessions:
                found += [complaint for session in sessions.values() if (complaint := _closed(session))]
        except Exception as error:
            found.append(f"closing a session raises {type(error).__name__}: {error}")
        if found:
            refuse(found[0])


class SharedModelEngineChecks(EngineChecks):
    """For engines that run plugtron's models: they give what its own static engine gives."""

    def test_equals_the_static_engine(
        self, plugtron_host: Host, plugtron_model: Callable[[str], Path], plugtron_subject: dict[str, Session]
    ) -> None:
        """Greedy, and seeded with two answers to each prompt."""
        values = {"model": {"checkpoint": str(plugtron_model("padded")), "dtype": "float32"}, "seed": 5}
        for temperature in (0, 1.2):
            answered = 2 if temperature else None
            params = SamplingParams(temperature=temperature, seed=9, max_tokens=8, n=answered, ignore_eos=True)
            with plugtron_host.session(values) as reference:
                expected = _sequences(answers(reference, PROMPTS, params))
            for session in plugtron_subject.values():
                found = _sequences(self.answers(session, PROMPTS, params))
                if found != expected:
                    refuse(f"at temperature {temperature} it gives {found}, the static engine {expected}")


def _closed(session: Session) -> str:
    """Close an engine in the middle of its work, twice; return what is wrong."""
    engine = session.engine
    for prompt in PROMPTS:
        session.add_request(InferenceRequest(prompt=list(prompt), params=SamplingParams(max_tokens=20)))
    session.step()
    for what in ("with requests under way", "a second time"):
        try:
            engine.close()
        except Exception as error:
            return f"closing it {what} raises {type(error).__name__}: {error}"
    return "has_unfinished_requests is true after close()" if engine.has_unfinished_requests else ""


def _sequences(requests: list[InferenceRequest]) -> list[list[list[int]]]:
    return [[sequence.tokens for sequence in request.sequences] for request in requests]
