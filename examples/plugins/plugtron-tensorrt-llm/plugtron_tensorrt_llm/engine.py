"""The engine: a stream for each sequence, read in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from plugtron import Options
from plugtron.contracts import Parts
from plugtron.engine import BackendEngine, Generated, sequence_limit
from plugtron.errors import CheckpointError, PluginError
from plugtron.request import FinishReason, InferenceSequence
from plugtron_tensorrt_llm.backend import Backend
from plugtron_tensorrt_llm.options import TensorRTOptions, TensorRTParams
from plugtron_tensorrt_llm.precheck import precheck

__all__ = ["TensorRTEngine"]

#: Seconds after which a step looks again whether anything was aborted or is late.
_PATIENCE = 0.05


class TensorRTEngine(BackendEngine):
    """Runs a Hugging Face folder.

    Raises:
        PluginError: TensorRT-LLM is not installed.
        CheckpointError: it cannot run the model.
        SpecError: the model cannot go as far as `max_sequence_length`.
    """

    params = TensorRTParams

    def __init__(self, parts: Parts, options: TensorRTOptions) -> None:
        model = parts.model
        assert model is not None, "assembly has described it"
        if reasons := precheck(model, options):
            raise CheckpointError("; ".join(reasons))
        positions = model.configuration.get("max_position_embeddings")
        self._limit = sequence_limit(options.max_sequence_length, positions)
        vocab_size = model.configuration["vocab_size"]
        super().__init__(parts, slots=options.max_batch_size, limit=self._limit, vocab_size=vocab_size)
        try:
            self._backend = Backend(model.path, options, limit=self._limit)
        except ModuleNotFoundError as missing:
            raise PluginError(f"the engine tensorrt_llm: {missing}: pip install tensorrt-llm") from missing
        self._streams: dict[InferenceSequence, Any] = {}
        self._come: SimpleQueue[Generated] = SimpleQueue()

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> TensorRTEngine:
        """Build from a spec."""
        assert isinstance(options, TensorRTOptions)
        return cls(parts, options)

    def begin_sequence(self, sequence: InferenceSequence) -> None:
        """Begin a stream, and read it beside the others."""
        stream = self._streams[sequence] = self._backend.begin(sequence, self._limit)
        Thread(target=self._read, args=(sequence, stream), daemon=True).start()

    def advance(self) -> Iterable[Generated]:
        """Wait for what comes first, and return all that is there."""
        found: list[Generated] = []
        try:
            found.append(self._come.get(timeout=_PATIENCE))
            while True:
                found.append(self._come.get_nowait())
        except Empty:
            return found

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """End its stream, if it has not ended by itself."""
        stream = self._streams.pop(sequence, None)
        if stream is not None:
            stream.abort()

    def close(self) -> None:
        """End what is under way, and give the GPUs back."""
        super().close()
        self._backend.close()

    def _read(self, sequence: InferenceSequence, stream: Any) -> None:
        """Hand on what a stream yields, in a thread of its own; it ends with the stream."""
        seen = 0
        try:
            for step in stream:
                tokens = tuple(step.outputs[0].token_ids)
                self._come.put(Generated(sequence=sequence, tokens=tokens[seen:]))
                seen = len(tokens)
            self._come.put(Generated(sequence=sequence, finished=FinishReason.LENGTH))
        # Whatever it is, whoever waits for this sequence must hear of it.
        except Exception as error:
            self._come.put(Generated(sequence=sequence, error=f"TensorRT-LLM: {type(error).__name__}: {error}"))
