"""What an observer of runs has to keep to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from plugtron.assembly.session import Session
from plugtron.request import InferenceRequest, SamplingParams
from plugtron.testing.checks.base import PluginChecks, refuse
from plugtron.testing.checks.generation import PROMPTS
from plugtron.testing.host import Host

__all__ = ["ObserverChecks"]

_OBSERVES = ("plugtron_run_started", "plugtron_request_finished", "plugtron_step_finished", "plugtron_run_finished")


class ObserverChecks(PluginChecks):
    """Every observer passes these.

    Attributes:
        options: what a spec says under plugins.options for the plugin.
    """

    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[Session]:
        """A session with the observer."""
        values = {"model": {"checkpoint": str(model("plain")), "dtype": "float32"}, "execution": "eager"}
        named = {"plugins": {"options": {name: dict(cls.options) for name in host.plugins}}} if cls.options else {}
        with host.session({**values, **named}) as session:
            yield session

    def test_observes(self, plugtron_host: Host) -> None:
        """It implements a hook of a run."""
        if not any(name in _OBSERVES for name, _ in plugtron_host.hooks()):
            refuse(f"it implements none of {', '.join(_OBSERVES)}")

    def test_bears_every_run(self, plugtron_subject: Session) -> None:
        """Runs that work, that fail and that are left early raise nothing in its hooks."""
        good = InferenceRequest(prompt=list(PROMPTS[0]), params=_params())
        bad = InferenceRequest(prompt=[10**6], params=_params())
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for _ in plugtron_subject.run([good, bad]):
                pass
            for _ in plugtron_subject.run([]):
                pass
            run = plugtron_subject.run([InferenceRequest(prompt=list(PROMPTS[1]), params=_params())])
            next(run)
            run.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
        failed = [str(each.message) for each in said if "failed" in str(each.message)]
        if failed:
            refuse(failed[0])

    def test_changes_nothing(self, plugtron_subject: Session, plugtron_model: Callable[[str], Path]) -> None:
        """A run gives the same with it as without."""
        values = {"model": {"checkpoint": str(plugtron_model("plain")), "dtype": "float32"}, "execution": "eager"}
        with Host().session(values) as plain:
            expected = [request.to_dict()["sequences"] for request in _answers(plain)]
        found = [request.to_dict()["sequences"] for request in _answers(plugtron_subject)]
        if found != expected:
            refuse("results are others with it than without")

    def test_prints_nothing(self, plugtron_subject: Session, capfd: Any) -> None:
        """Standard output is for results."""
        _answers(plugtron_subject)
        said = capfd.readouterr().out.strip()
        if said:
            refuse(f"it prints {said.splitlines()[0]!r} to standard output")


def _params() -> SamplingParams:
    return SamplingParams(temperature=0, seed=1, max_tokens=5, ignore_eos=True)


def _answers(session: Session) -> list[InferenceRequest]:
    """Run prompts as `plugtron run` does, which observers hear of."""
    requests = [InferenceRequest(prompt=list(prompt), params=_params()) for prompt in PROMPTS]
    for _ in session.run(requests):
        pass
    return requests
