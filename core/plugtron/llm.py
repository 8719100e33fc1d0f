"""LLM: a model in one line of Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plugtron.assembly import Assembly, assemble
from plugtron.errors import RequestError
from plugtron.host import Host
from plugtron.prompts import as_conversations, as_prompts
from plugtron.request import InferenceRequest, Message, Prompt, RequestOutput
from plugtron.sampling_params import SamplingParams
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply
from plugtron.spec.resolve import resolve

__all__ = ["LLM"]


class LLM:
    """Loads a model and generates with it. A context manager; `close` gives memory and processes back.

        with LLM("smollm2-135m-instruct") as llm:
            print(llm.generate("The capital of France is", SamplingParams(temperature=0, max_tokens=8)).text)

    Args:
        model: an alias, a path, or a hub id.
        engine: a registered engine's name.
        dtype: "auto", "float32", "bfloat16" or "float16".
        quantization: "int8" or "int4": the weights of linear layers in groups of 32; "fp8": e4m3, for GPUs; "native":
            the blocks of a file (GGUF, or `plugtron convert --quantization`) as they are; None: in `dtype`.
        tensor_parallel: ranks that share each layer; more than one starts processes.
        pipeline_parallel: stages that the layers are divided into; each takes `tensor_parallel` processes.
        device: "auto", "cpu" or "cuda".
        seed: what requests without a seed of their own derive theirs from.
        overrides: values by path in the spec, such as {"engine.options.max_batch_size": 16}.

    Raises:
        SpecError: an argument or an override is wrong.
        PluginError, CheckpointError, ParallelError: as `assemble`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        engine: str = "static",
        dtype: str = "auto",
        quantization: str | None = None,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        device: str = "auto",
        seed: int | None = None,
        overrides: Mapping[str, object] = {},
    ) -> None:
        values: dict[str, Any] = {
            "version": 1,
            "model": {"checkpoint": str(model), "dtype": dtype, "quantization": quantization},
            "engine": engine,
            "parallel": {"tensor": tensor_parallel, "pipeline": pipeline_parallel},
            "device": device,
            "seed": seed,
        }
        source = apply(Source(values=values), overrides)
        host = Host(disable=source.disabled)
        host.warn_of_failures()
        self.assembly: Assembly = assemble(resolve(source, host), host=host)
        self._defaults = SamplingParams.from_flat(self.assembly.resolved.spec.sampling)

    def generate(
        self,
        prompts: str | list[int] | Sequence[str] | Sequence[list[int]],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> Any:
        """Generate from a text, from ids, or from a list of either.

        Returns:
            One request for one prompt, a list of requests in order for a list of prompts. A request that failed
            has its reason in `.error`; the others are not affected.
        """
        several, listed = as_prompts(prompts)
        requests = self._run(listed, _each(params, len(listed)))
        return requests if several else requests[0]

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> Any:
        """Answer a conversation, or several: lists of {"role": ..., "content": ...}."""
        several, listed = as_conversations(messages)
        requests = self._run(listed, _each(params, len(listed)))
        return requests if several else requests[0]

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Iterator[RequestOutput]:
        """Generate from one prompt, yielding what each step adds."""
        request = InferenceRequest(prompt=prompt, params=(params or SamplingParams()).over(self._defaults))
        yield from self.assembly.run([request])

    def close(self) -> None:
        """Give back memory, and end the processes that share the model."""
        self.assembly.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> list[InferenceRequest]:
        requests = [
            InferenceRequest(prompt=prompt, params=own.over(self._defaults), index=index)
            for index, (prompt, own) in enumerate(zip(prompts, params, strict=True))
        ]
        for _ in self.assembly.run(requests):
            pass
        return requests


def _each(params: SamplingParams | Sequence[SamplingParams] | None, count: int) -> list[SamplingParams]:
    """One set of parameters per prompt.

    Raises:
        RequestError: there is another number of them, or something that is no SamplingParams.
    """
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    each = list(params)
    if isinstance(params, Mapping) or not all(isinstance(own, SamplingParams) for own in each):
        raise RequestError(f"parameters are SamplingParams, or a list of them (got {params!r})")
    if len(each) != count:
        raise RequestError(f"{count} prompts and {len(each)} sets of parameters; give one, or one for each")
    return each
