"""The engine: each sequence is completed a few tokens at a time, all of them side by side in llama.cpp's server."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from plugtron import Options
from plugtron.contracts import Parts
from plugtron.engine import BackendEngine, Generated, sequence_limit
from plugtron.errors import CheckpointError, RequestError
from plugtron.request import InferenceRequest, InferenceSequence
from plugtron_llamacpp.completion import ask, read
from plugtron_llamacpp.options import LlamaCppOptions, LlamaCppParams
from plugtron_llamacpp.precheck import precheck
from plugtron_llamacpp.server import Server

__all__ = ["LlamaCppEngine"]

#: Seconds after which a step looks again whether anything was aborted or is late.
_PATIENCE = 0.05


class LlamaCppEngine(BackendEngine):
    """Runs a GGUF file.

    Raises:
        CheckpointError: llama.cpp cannot run it.
        SpecError: the model cannot go as far as `max_sequence_length`.
    """

    params = LlamaCppParams

    def __init__(self, parts: Parts, options: LlamaCppOptions) -> None:
        model, tokenizer = parts.model, parts.tokenizer
        assert model is not None, "assembly has described it"
        if reasons := precheck(model, options):
            raise CheckpointError("; ".join(reasons))
        assert tokenizer is not None, "the precheck has seen that there is one"
        positions = model.configuration.get(f"{model.architecture}.context_length")
        limit, slots = sequence_limit(options.max_sequence_length, positions), options.max_batch_size
        super().__init__(parts, slots=slots, limit=limit, vocab_size=tokenizer.vocab_size)
        threads, layers = parts.runtime.threads, options.gpu_layers
        self._server: Server | None = Server(model.path, slots=slots, limit=limit, threads=threads, gpu_layers=layers)
        self._limit = limit
        self._count = options.tokens_per_call
        self._calls = ThreadPoolExecutor(slots, thread_name_prefix="plugtron-llamacpp")
        # What is asked for each sequence; None: nothing yet.
        self._asked: dict[InferenceSequence, Future[dict[str, Any]] | None] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> LlamaCppEngine:
        """Build from a spec."""
        assert isinstance(options, LlamaCppOptions)
        return cls(parts, options)

    def begin_sequence(self, sequence: InferenceSequence) -> None:
        """Have it asked for in the next step."""
        self._asked[sequence] = None

    def check_request(self, request: InferenceRequest) -> None:
        """Refuse log probabilities after the samplers: those that come before them are what llama.cpp has."""
        if request.params.logprobs_mode == "processed":
            raise RequestError("logprobs_mode: the engine llamacpp has raw ones only (accepted: raw)")

    def advance(self) -> Iterable[Generated]:
        """Ask for those that have had their answer, wait for the first that is there, and return all that are."""
        for sequence, call in self._asked.items():
            if call is None:
                assert self._server is not None, "a closed engine takes no step"
                self._asked[sequence] = self._calls.submit(self._server.complete, ask(sequence, self._wanted(sequence)))
        calls = {call: sequence for sequence, call in self._asked.items() if call is not None}
        done, _ = wait(calls, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
        self._asked |= {calls[call]: None for call in done}
        return [self._read(calls[call], call) for call in done]

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Forget it. A call that is under way ends by itself, after a few tokens."""
        self._asked.pop(sequence, None)

    def close(self) -> None:
        """End what is under way, and give the model back."""
        super().close()
        self._calls.shutdown()
        self._server = None

    def _wanted(self, sequence: InferenceSequence) -> int:
        """How many tokens to ask for: no more than the sequence may still have."""
        most = sequence.request.params.most_tokens
        room = self._limit - sequence.length
        return min(self._count, room if most is None else min(room, most - len(sequence.tokens)))

    def _read(self, sequence: InferenceSequence, call: Future[dict[str, Any]]) -> Generated:
        try:
            return read(sequence, call.result())
        except Exception as error:
            return Generated(sequence=sequence, error=f"llama.cpp: {type(error).__name__}: {error}")
