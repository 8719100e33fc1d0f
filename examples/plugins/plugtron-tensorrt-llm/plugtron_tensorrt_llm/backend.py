"""TensorRT-LLM's LLM API, as far as the engine uses it. Nothing in this module has been run: see README.md."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.request import InferenceSequence
from plugtron_tensorrt_llm.options import TensorRTOptions

__all__ = ["Backend", "sampling"]


class Backend:
    """Runs a model on GPUs of its own choosing.

    Raises:
        ModuleNotFoundError: TensorRT-LLM is not installed.
        CheckpointError: it cannot load the model.
    """

    def __init__(self, folder: Path, options: TensorRTOptions, *, limit: int) -> None:
        self._module: Any = import_module("tensorrt_llm")
        try:
            self._llm = self._module.LLM(
                model=str(folder),
                tensor_parallel_size=options.tensor_parallel,
                pipeline_parallel_size=options.pipeline_parallel,
                max_batch_size=options.max_batch_size,
                max_seq_len=limit,
                skip_tokenizer_init=True,
            )
        except Exception as error:
            raise CheckpointError(f"{folder}: TensorRT-LLM cannot load it: {error}") from error

    def begin(self, sequence: InferenceSequence, limit: int) -> Any:
        """Return a stream that yields itself, with all tokens so far, and can be aborted."""
        params = self._module.SamplingParams(**sampling(sequence, limit))
        return self._llm.generate_async(sequence.request.prompt_tokens, sampling_params=params, streaming=True)

    def close(self) -> None:
        """Give the GPUs back."""
        self._llm.shutdown()


def sampling(sequence: InferenceSequence, limit: int) -> dict[str, Any]:
    """What TensorRT-LLM's SamplingParams are made with. Where an answer ends is plugtron's to see, not its."""
    params, room = sequence.request.params, limit - len(sequence.request.prompt_tokens)
    found: dict[str, Any] = {
        "max_tokens": room if params.most_tokens is None else min(params.most_tokens, room),
        "ignore_eos": True,
        "detokenize": False,
        "seed": sequence.seed,
        "repetition_penalty": params.repetition_penalty or 1.0,
    }
    if params.greedy:
        return found | {"top_k": 1}
    return found | {
        "temperature": 1.0 if params.temperature is None else params.temperature,
        "top_k": max(0, params.top_k or 0),
        "top_p": params.top_p or 1.0,
        "min_p": params.min_p or 0.0,
    }
