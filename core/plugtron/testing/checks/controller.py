"""What a controller has to keep to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from plugtron.assembly.session import Session
from plugtron.plugin.component import Kind
from plugtron.request import InferenceRequest, SamplingParams
from plugtron.testing.checks.base import refuse
from plugtron.testing.checks.generation import PROMPTS, GenerationChecks, answers
from plugtron.testing.host import Host

__all__ = ["ControllerChecks", "PlainControllerChecks"]


class ControllerChecks(GenerationChecks):
    """Every controller passes these, under each of its `engines`."""

    kind: ClassVar[Kind] = Kind.CONTROLLER

    @classmethod
    def parts(cls, host: Host, engine: str) -> Mapping[str, Any]:
        """The controller under one engine."""
        return {"engine": engine, "controller": cls.reference(host)}

    def test_engines_agree(self, plugtron_subject: dict[str, Session]) -> None:
        """Greedy answers are the same under every engine."""
        found = {
            name: [r.tokens for r in self.answers(session, PROMPTS, _greedy())]
            for name, session in plugtron_subject.items()
        }
        (first, expected), *others = found.items()
        for engine, tokens in others:
            if tokens != expected:
                refuse(f"{engine} gives {tokens}, {first} {expected}")

    def test_stop_texts(self, plugtron_subject: dict[str, Session]) -> None:
        """A stop text ends a request and is cut off, of what is streamed, too."""
        for engine, session in plugtron_subject.items():
            (whole,) = self.answers(session, PROMPTS[:1], _greedy())
            stop = next((letter for letter in whole.text[3:] if letter.isascii() and letter.isprintable()), None)
            if stop is None:
                continue
            request = InferenceRequest(prompt=list(PROMPTS[0]), params=_greedy().model_copy(update={"stop": [stop]}))
            text = "".join(output.text for output in session.run([request]))
            expected = whole.text[: whole.text.index(stop)]
            if request.text != expected or text != expected:
                refuse(f"{engine}: stop {stop!r} gives {request.text!r}, streamed {text!r}, expected {expected!r}")

    def test_log_probabilities(self, plugtron_subject: dict[str, Session]) -> None:
        """One entry for each token, with as many alternatives as were asked for, none above 0."""
        for engine, session in plugtron_subject.items():
            (request,) = self.answers(session, PROMPTS[:1], _greedy().model_copy(update={"logprobs": 3}))
            entries = request.log_probs
            if [entry.token for entry in entries] != request.tokens:
                refuse(f"{engine}: log probabilities are of other tokens than the answer's")
            if any(len(entry.top) != 3 or entry.value > 0 or max(entry.top.values()) > 0 for entry in entries):
                refuse(f"{engine}: log probabilities are above 0, or not of the 3 likeliest tokens")


class PlainControllerChecks(ControllerChecks):
    """For controllers that draw as plugtron's own does where nothing of theirs is asked for."""

    def test_equals_the_built_in(self, plugtron_host: Host, plugtron_subject: dict[str, Session]) -> None:
        """Greedy, with plugtron's controller on the same model."""
        for engine, session in plugtron_subject.items():
            spec = session.resolved.spec
            values = {"model": {"checkpoint": spec.model.checkpoint, "dtype": "float32"}, "engine": engine, "seed": 5}
            with plugtron_host.session(values) as reference:
                expected = [request.tokens for request in answers(reference, PROMPTS, _greedy())]
            found = [request.tokens for request in self.answers(session, PROMPTS, _greedy())]
            if found != expected:
                refuse(f"{engine}: it gives {found}, plugtron's controller {expected}")


def _greedy() -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=10, ignore_eos=True)
