"""Engines: which requests run when. An engine owns the KV memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from plugtron.contracts.stats import EngineStats
from plugtron.errors import EngineError
from plugtron.request.request import InferenceRequest, Prompt, RequestOutput
from plugtron.request.sampling_params import SamplingParams

__all__ = ["Engine", "Steps"]


class Steps(Protocol):
    """Whatever requests can be added to and stepped: an engine, or a session with an engine in it."""

    @property
    def has_unfinished_requests(self) -> bool:
        """Whether `step` has anything to do."""
        ...

    def notify(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from any thread, when `step` has something to do that no caller has brought."""
        ...

    def prepare_request(self, request: InferenceRequest) -> None:
        """Do what of `add_request` takes long and needs no turn."""
        ...

    def add_request(self, request: InferenceRequest) -> int:
        """Take a request up and return its id."""
        ...

    def abort_request(self, request_id: int) -> bool:
        """End a request before the next step; False when no such request is waiting or running."""
        ...

    def step(self) -> Sequence[RequestOutput]:
        """Do one step of work and return what it added to which requests."""
        ...


class Engine(ABC):
    """Runs requests. A backend engine, which brings its own model, needs no controller.

    An engine that is to run over several ranks begins every `step` with `plugtron.engine.events.agree` on what has come
    in, plans the same steps from it on every rank, and tells the other ranks when it is closed: what
    `plugtron.engine.request_processor` does.
    """

    @abstractmethod
    def add_request(self, request: InferenceRequest) -> int:
        """Take a request up and return its id. One that cannot run finishes with its error; nothing is raised."""

    def prepare_request(self, request: InferenceRequest) -> None:
        """Do what of `add_request` takes long and needs no turn, such as tokenizing; from any thread, beside a step.

        Optional: `add_request` does it for requests that have not been prepared.
        """
        del request

    @abstractmethod
    def abort_request(self, request_id: int) -> bool:
        """End a request before the next step; False when no such request is waiting or running."""

    @abstractmethod
    def step(self) -> Sequence[RequestOutput]:
        """Do one step of work and return what it added to which requests."""

    @property
    @abstractmethod
    def has_unfinished_requests(self) -> bool:
        """Whether `step` has anything to do."""

    @property
    def closed(self) -> bool:
        """Whether the engine, here or at the leader of its ranks, has been closed."""
        return False

    @property
    def max_sequence_length(self) -> int | None:
        """How long a sequence may get, prompt and answer together; None: the engine does not say."""
        return None

    @property
    def why_not_ready(self) -> str:
        """Say why no request can be answered at the moment, though it may be later; nothing where they can."""
        return ""

    @property
    def stats(self) -> EngineStats | None:
        """What the engine counts of its work; None: it keeps no account."""
        return None

    @property
    def weights_version(self) -> int:
        """Which weights the next step uses: 0, until `update_weights`."""
        return 0

    def update_weights(self, path: Path, *, version: int | None = None, recompute: bool = True) -> None:
        """Run with the weights of another checkpoint of the same model from the next step on. Optional.

        Requests that are running go on. Tokens say which weights they are of (`InferenceSequence.weights_versions`).

        Args:
            version: of these weights, for results; by default one more than before.
            recompute: compute what running requests have in memory with these weights; else it stays as it is.

        Raises:
            CheckpointError: the checkpoint is broken, or of another model; all goes on as before.
            EngineError: this engine cannot do it, or not now.
        """
        del path, version, recompute
        raise EngineError(f"{type(self).__name__} keeps the weights that it has")

    def sleep(self, *, weights: bool = False) -> None:
        """Give back the memory of keys and values until `wake`, and do no steps. Optional.

        Requests that are running go on afterwards, computed from the start.

        Args:
            weights: give back that of the weights, too.

        Raises:
            EngineError: this engine cannot do it, or not now.
        """
        del weights
        raise EngineError(f"{type(self).__name__} keeps its memory")

    def wake(self) -> None:
        """Take memory again after `sleep`, and do steps.

        Raises:
            SpecError: there is not as much; the engine stays asleep.
        """

    def pause(self) -> None:
        """Take note that no steps will be asked for until `resume`. For engines whose steps are done elsewhere."""

    def resume(self) -> None:
        """Take note that steps will be asked for again."""

    def notify(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when `step` has something to do that no caller has brought.

        For engines whose steps are done elsewhere; of one that is stopped its owner knows when it goes on.
        """
        del callback

    @abstractmethod
    def close(self) -> None:
        """Give back memory and, where the engine leads other processes, end them."""

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[InferenceRequest]:
        """Run prompts to their end and return their requests in order; one set of parameters serves all.

        Raises:
            ValueError: as many sets of parameters as prompts were expected.
        """
        each = [params or SamplingParams()] * len(prompts) if not isinstance(params, Sequence) else list(params)
        if len(each) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts and {len(each)} sets of parameters; give one, or one per prompt")
        requests = [
            InferenceRequest(prompt=prompt, params=own, index=index)
            for index, (prompt, own) in enumerate(zip(prompts, each, strict=True))
        ]
        for _ in self.run(requests):
            pass
        return requests

    def stream(self, request: InferenceRequest) -> Iterator[RequestOutput]:
        """Run a request and yield what each step adds to it; leaving the loop early aborts it.

        The last output of each sequence has its finish reason. A request that is refused yields one output, whose
        `request.error` says why.
        """
        yield from self.run([request])

    def run(self, requests: Sequence[InferenceRequest]) -> Iterator[RequestOutput]:
        """Run requests to their end and yield what each step adds to them; leaving the loop early aborts the rest."""
        open_requests = {self.add_request(request): request for request in requests}
        try:
            while open_requests and self.has_unfinished_requests:
                outputs = [output for output in self.step() if output.request.id in open_requests]
                yield from outputs
                ended = {output.request.id for output in outputs if output.request.is_finished}
                open_requests = {number: request for number, request in open_requests.items() if number not in ended}
        finally:
            # A caller that stops iterating early must not leave its requests running.
            for request_id in open_requests:
                self.abort_request(request_id)
