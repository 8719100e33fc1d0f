"""What an execution has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from plugtron.contracts import ExecutionBackend
from plugtron.plugin.component import Kind
from plugtron.request import SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.checks.generation import PROMPTS, answers
from plugtron.testing.host import Host
from plugtron.testing.models import SHAPES

__all__ = ["DeterministicExecutionChecks", "ExecutionChecks"]

_LOG_PROBABILITY = 1e-3
#: Small blocks and steps, so that prompts come in pieces.
_DYNAMIC = {"name": "dynamic", "options": {"block_size": 4, "max_step_tokens": 7}}


class ExecutionChecks(ComponentChecks):
    """Every execution passes these: it is compared with `eager`.

    Attributes:
        shapes: models that it is to run, of `plugtron.testing.SHAPES`.
    """

    kind: ClassVar[Kind] = Kind.EXECUTION
    shapes: ClassVar[Sequence[str]] = tuple(SHAPES)

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[ExecutionBackend]:
        """The backend, as a run has it."""
        backend = host.options(cls._values(model("plain"), "static", cls.reference(host))).execution
        assert backend is not None
        yield backend

    @classmethod
    def _values(cls, folder: Path, engine: object, execution: object, **more: Any) -> dict[str, Any]:
        model = {"checkpoint": str(folder), "dtype": "float32"}
        return {"model": model, "engine": engine, "execution": execution, "device": "cpu", **more}

    def test_names_itself(self, plugtron_subject: ExecutionBackend) -> None:
        """Messages call it by a name."""
        if not isinstance(plugtron_subject.name, str) or not plugtron_subject.name:
            refuse(f"its name is {plugtron_subject.name!r}")

    def test_equals_eager(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """Tokens are eager's, and log probabilities near, for every shape, under both engines."""
        params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=2)
        for shape in self.shapes:
            expected = self._run(plugtron_host, plugtron_model(shape), "static", "eager", params)
            for engine in ("static", _DYNAMIC):
                found = self._run(plugtron_host, plugtron_model(shape), engine, self.reference(plugtron_host), params)
                for (tokens, values), (right, near) in zip(found, expected, strict=True):
                    if tokens != right:
                        refuse(f"model {shape!r}: tokens {tokens}, eager's {right}")
                    off = max(abs(one - other) for one, other in zip(values, near, strict=True))
                    if not off <= _LOG_PROBABILITY:
                        refuse(
                            f"model {shape!r}: log probabilities are off by {off:.3g} (accepted: {_LOG_PROBABILITY})"
                        )

    def test_counts_its_weights(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """`weight_bytes` and `layer_weights` are what benchmarks and memory sizing reckon with."""
        with plugtron_host.session(
            self._values(plugtron_model("plain"), "static", self.reference(plugtron_host))
        ) as session:
            execution = getattr(session.parts.wrapper, "execution", None)
            if execution is not None and (execution.weight_bytes <= 0 or execution.layer_weights <= 0):
                refuse(f"weight_bytes is {execution.weight_bytes}, layer_weights {execution.layer_weights}")

    def test_runs_again(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """A second model in the same process, and the first once more, give what the first gave."""
        params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
        first, other = plugtron_model("plain"), plugtron_model("tied")
        chosen = self.reference(plugtron_host)
        before = self._run(plugtron_host, first, "static", chosen, params)
        self._run(plugtron_host, other, "static", chosen, params)
        if self._run(plugtron_host, first, "static", chosen, params) != before:
            refuse("after another model the first gives something else")

    def _run(
        self, host: Host, folder: Path, engine: object, execution: object, params: SamplingParams
    ) -> list[tuple[list[int], list[float]]]:
        with host.session(self._values(folder, engine, execution)) as session:
            requests = answers(session, PROMPTS, params)
        for request in requests:
            if request.error is not None:
                refuse(f"request {request.index} fails: {request.error}")
        return [(request.tokens, [entry.value for entry in request.log_probs]) for request in requests]


class DeterministicExecutionChecks(ExecutionChecks):
    """For executions that say `deterministic`: a request's bits do not depend on what else is in its steps."""

    def test_says_so(self, plugtron_subject: ExecutionBackend) -> None:
        """The class attribute is what specs with `deterministic: true` look at."""
        if not plugtron_subject.deterministic:
            refuse("deterministic is False")

    def test_bits_are_equal(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """Log probabilities of a request alone and in company are the same numbers."""
        params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True, logprobs=1)
        values = self._values(plugtron_model("odd"), _DYNAMIC, self.reference(plugtron_host), deterministic=True)
        with plugtron_host.session(values) as session:
            together = [[entry.value for entry in request.log_probs] for request in answers(session, PROMPTS, params)]
            for at, prompt in enumerate(PROMPTS):
                (alone,) = answers(session, [prompt], params)
                if [entry.value for entry in alone.log_probs] != together[at]:
                    refuse(f"prompt {at} has other bits alone than in a batch of {len(PROMPTS)}")
