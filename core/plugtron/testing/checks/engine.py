"""What an engine has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from plugtron.assembly.session import Session
from plugtron.plugin.component import Kind
from plugtron.request import SamplingParams
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
        """It can be closed with requests under way, and twice."""
        with self.subject(plugtron_host, plugtron_model) as sessions:
            for session in sessions.values():
                run = session.run([])
                next(run, None)
                session.close()
                session.close()


class SharedModelEngineChecks(EngineChecks):
    """For engines that run plugtron's models: they give what its own static engine gives."""

    def test_equals_the_static_engine(
        self, plugtron_host: Host, plugtron_model: Callable[[str], Path], plugtron_subject: dict[str, Session]
    ) -> None:
        """Greedy and seeded."""
        values = {"model": {"checkpoint": str(plugtron_model("padded")), "dtype": "float32"}, "seed": 5}
        for temperature in (0, 1.2):
            params = SamplingParams(temperature=temperature, seed=9, max_tokens=8, ignore_eos=True)
            with plugtron_host.session(values) as reference:
                expected = [request.tokens for request in answers(reference, PROMPTS, params)]
            for session in plugtron_subject.values():
                found = [request.tokens for request in answers(session, PROMPTS, params)]
                if found != expected:
                    refuse(f"at temperature {temperature} it gives {found}, the static engine {expected}")
