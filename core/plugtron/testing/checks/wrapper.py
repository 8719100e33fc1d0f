"""What a family of models has to keep to."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from plugtron.assembly.session import Session
from plugtron.checkpoint.loader import expand
from plugtron.errors import PlugtronError
from plugtron.execution import DecoderWrapper
from plugtron.plugin.component import Kind
from plugtron.request import SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.checks.generation import PROMPTS, answers
from plugtron.testing.host import Host
from plugtron.testing.ranks import run_on_ranks

__all__ = ["Answered", "NativeWrapperChecks", "WrapperChecks"]

_TOKENS = 8
#: A model's path, and its answers to PROMPTS.
Answered: TypeAlias = tuple[Path, list[list[int]]]
#: Small blocks and steps, so that prompts come in pieces and memory is shared.
_DYNAMIC = {"name": "dynamic", "options": {"block_size": 4, "max_step_tokens": 7}}


class WrapperChecks(ComponentChecks):
    """Every family passes these. A subclass writes a small model of it, with random weights.

    Attributes:
        ranks: over how many ranks it is to run, of tensor and of pipeline parallelism, (2, 1) and (1, 2) by default.
        quantizations: those that it is to run with.
        unused: patterns of tensors that the model has no use for, though checkpoints hold them.
    """

    kind: ClassVar[Kind] = Kind.WRAPPER
    ranks: ClassVar[Sequence[tuple[int, int]]] = ((2, 1), (1, 2))
    quantizations: ClassVar[Sequence[str]] = ("int8",)
    unused: ClassVar[Sequence[str]] = ()

    @classmethod
    @abstractmethod
    def write(cls, folder: Path) -> Path:
        """Write a model into an empty folder; return what a spec would name. Two heads and two layers at least."""

    @classmethod
    def expected(cls, path: Path, prompt: list[int], count: int) -> list[int] | None:
        """The greedy answer of another implementation, `count` tokens; None: there is none to compare with."""
        del path, prompt, count
        return None

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[Answered]:
        """The model's path, and its greedy answers, eagerly, to PROMPTS in one batch."""
        path = cls.write(model("plain").parent / f"of_{cls.component}_{cls.__name__}")
        yield path, cls.answers(host, path, execution="eager")

    @classmethod
    def answers(cls, host: Host, path: Path, **values: Any) -> list[list[int]]:
        """Greedy answers to PROMPTS, in float32."""
        with cls.session(host, path, **values) as session:
            return _tokens(session, PROMPTS)

    @classmethod
    def session(cls, host: Host, path: Path, *, quantization: str | None = None, **values: Any) -> Session:
        """A session over the model."""
        model = {
            "checkpoint": str(path),
            "dtype": "float32",
            "wrapper": cls.reference(host),
            "quantization": quantization,
        }
        return host.session({"model": model, "device": "cpu", **values})

    def test_is_found_by_itself(self, plugtron_host: Host, plugtron_subject: Answered) -> None:
        """`wrapper: auto` finds it by what it provides."""
        values = {"model": {"checkpoint": str(plugtron_subject[0]), "dtype": "float32"}, "execution": "eager"}
        try:
            with plugtron_host.session(values) as session:
                chosen = session.resolved.spec.model.wrapper.name.partition("@")[0]
        except PlugtronError as error:
            refuse(f"auto finds no wrapper, list the architecture under provides: {error}")
        if chosen != self.component:
            refuse(f"auto chooses {chosen!r}: list the architecture under provides")

    def test_answers(self, plugtron_subject: Answered) -> None:
        """Random weights give answers that do not stand still: else the checks would find nothing."""
        found = {token for answer in plugtron_subject[1] for token in answer}
        if len(found) < _TOKENS:
            refuse(f"its answers have {len(found)} different tokens: write larger weights")

    def test_reads_every_tensor(self, plugtron_host: Host, plugtron_subject: Answered) -> None:
        """What a checkpoint holds and nothing reads is missing from the model: it is mapped, or named in `unused`."""
        with self.session(plugtron_host, plugtron_subject[0], execution="eager") as session:
            wrapper, reader = session.parts.wrapper, session.parts.checkpoint
            if not isinstance(wrapper, DecoderWrapper) or reader is None:
                return
            weights = expand(wrapper.weight_map(wrapper.model.format).weights, range(wrapper.num_layers))
            stored = [tensor for weight in weights for tensor in weight.tensors]
            read = {tensor if isinstance(tensor, str) else tensor.tensor for tensor in stored}
            left = [
                name
                for name in sorted(set(reader.tensors) - read)
                if not any(fnmatch(name, pattern) for pattern in self.unused)
            ]
        if left:
            refuse(f"{len(left)} tensors are never read, such as {left[0]}: map them, or name them in `unused`")

    def test_equals_another_implementation(self, plugtron_subject: Answered) -> None:
        """Greedy answers are those of `expected`."""
        for prompt, answer in zip(PROMPTS, plugtron_subject[1], strict=True):
            right = self.expected(plugtron_subject[0], list(prompt), _TOKENS)
            if right is not None and answer != list(right):
                refuse(f"prompt {prompt}: {answer}, expected {list(right)}")

    def test_batched_equals_alone(self, plugtron_host: Host, plugtron_subject: Answered) -> None:
        """A prompt's answer does not depend on those beside it."""
        with self.session(plugtron_host, plugtron_subject[0], execution="eager") as session:
            for prompt, together in zip(PROMPTS, plugtron_subject[1], strict=True):
                (alone,) = _tokens(session, [prompt])
                if alone != together:
                    refuse(f"prompt {prompt}: {together} in a batch, {alone} alone")

    def test_incremental_equals_whole(self, plugtron_host: Host, plugtron_subject: Answered) -> None:
        """A token after an answer in memory is the one after prompt and answer computed at once, and in pieces."""
        path, expected = plugtron_subject
        for engine in ("static", _DYNAMIC):
            with self.session(plugtron_host, path, execution="eager", engine=engine) as session:
                longer = [[*prompt, *answer[:-1]] for prompt, answer in zip(PROMPTS, expected, strict=True)]
                for prompt, answer, found in zip(longer, expected, _tokens(session, longer, 1), strict=True):
                    if found != answer[-1:]:
                        name = engine if isinstance(engine, str) else "dynamic, in pieces"
                        refuse(f"{name}: after {prompt} comes {found}, token by token it was {answer[-1:]}")

    def test_native_equals_eager(
        self,
        plugtron_host: Host,
        plugtron_subject: Answered,
        record_property: Callable[[str, object], None],
    ) -> None:
        """On a CPU the native step gives the same; what of it runs through torch is in the report."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = self.answers(plugtron_host, plugtron_subject[0], execution="auto")
        record_property("cuts", "; ".join(str(each.message) for each in said if "through torch" in str(each.message)))
        if found != plugtron_subject[1]:
            refuse(f"native: {found}, eager: {plugtron_subject[1]}")

    def test_quantized(self, plugtron_host: Host, plugtron_subject: Answered) -> None:
        """Quantized weights run; natively most first tokens are eager's with the same weights.

        Not all of them: a native step rounds what the weights are multiplied with as well.
        """
        for quantization in self.quantizations:
            eager = self.answers(plugtron_host, plugtron_subject[0], quantization=quantization, execution="eager")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is cut is told by another check
                found = self.answers(plugtron_host, plugtron_subject[0], quantization=quantization)
            others = sum(one[0] != other[0] for one, other in zip(found, eager, strict=True))
            if others > len(PROMPTS) // 2:
                refuse(f"{quantization}: {others} of {len(PROMPTS)} first tokens are others than with execution eager")

    def test_over_ranks(self, plugtron_subject: Answered) -> None:
        """Ranks that share layers, and stages of layers, give the same."""
        path, expected = plugtron_subject
        for tensor, pipeline in self.ranks:
            parallel = {"tensor": tensor, "pipeline": pipeline}
            arguments = self.module_name(), str(path), self.component, dict(self.options), parallel
            found = run_on_ranks(tensor * pipeline, _on_a_rank, *arguments)[0]
            if found != expected:
                refuse(f"{parallel}: {found}, on one rank {expected}")


class NativeWrapperChecks(WrapperChecks):
    """For families of which nothing is cut: the whole step runs natively on a CPU."""

    def test_nothing_is_cut(self, plugtron_host: Host, plugtron_subject: Answered) -> None:
        """A native step without a piece that runs through torch."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.answers(plugtron_host, plugtron_subject[0], execution="native")
        cuts = [str(each.message) for each in said if "through torch" in str(each.message)]
        if cuts:
            refuse(cuts[0])


def _tokens(session: Session, prompts: Sequence[list[int]], count: int = _TOKENS) -> list[list[int]]:
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
    requests = answers(session, prompts, params)
    for request in requests:
        if request.error is not None:
            refuse(f"prompt {request.prompt} fails: {request.error}")
    return [request.tokens for request in requests]


def _on_a_rank(
    plugin: str | None, path: str, component: str, options: dict[str, Any], parallel: dict[str, int]
) -> list[list[int]]:
    host = Host() if plugin is None else Host(plugin)
    wrapper = {"name": host.reference(Kind.WRAPPER, component), "options": options}
    model = {"checkpoint": path, "dtype": "float32", "wrapper": wrapper}
    with host.session({"model": model, "device": "cpu", "parallel": parallel}) as session:
        return _tokens(session, PROMPTS)
