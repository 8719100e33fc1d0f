"""LLM: a model in one line of Python."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from plugtron.assembly.session import Session
from plugtron.assembly.start import assemble
from plugtron.contracts.control import Control
from plugtron.contracts.parser import ParsedAnswer
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError
from plugtron.plugin.manager import PluginManager
from plugtron.request.chat_options import ChatOptions, template_text
from plugtron.request.prompts import as_conversations, as_prompts
from plugtron.request.request import InferenceRequest, Message, Prompt, RequestOutput
from plugtron.request.sampling_params import ParamsLike, SamplingParams
from plugtron.scores import Perplexity, encode_pair, encode_text, score_continuations, score_texts
from plugtron.spec.chat_defaults import chat_defaults
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply
from plugtron.spec.resolution import resolve
from plugtron.utils.progress import progress as progress_bar

__all__ = ["LLM"]


class LLM:
    """Loads a model and generates with it. A context manager; `close` gives memory and processes back.

        with LLM("smollm2-135m-instruct") as llm:
            print(llm.generate("The capital of France is", SamplingParams(temperature=0, max_tokens=8)).text)

    Its methods may be called from any thread, several at once: requests share the engine's steps.

    Args:
        model: an alias, a path, or a hub id.
        engine: a registered engine's name.
        dtype: "auto", "float32", "bfloat16" or "float16".
        quantization: "int8" or "int4": the weights of linear layers in groups of 32; "fp8": e4m3, for GPUs;
            "as_stored": the blocks of a file (GGUF, or of `plugtron convert`) as they are; None: in `dtype`.
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
        checkpoint = os.fspath(model) if isinstance(model, os.PathLike) else model
        values: dict[str, Any] = {
            "version": 1,
            "model": {"checkpoint": checkpoint, "dtype": dtype, "quantization": quantization},
            "engine": engine,
            "parallel": {"tensor": tensor_parallel, "pipeline": pipeline_parallel},
            "device": device,
            "seed": seed,
        }
        source = apply(Source(values=values), overrides, called="overrides")
        manager = PluginManager(disable=source.disabled)
        manager.warn_of_failures()
        self.session: Session = assemble(resolve(source, manager), manager=manager)
        self._defaults = SamplingParams.from_flat(self.session.resolved.spec.sampling)
        chat = chat_defaults(self.session.resolved.spec)
        self._chat = chat if chat.model_fields_set else None

    def add_attributes(self, params: SamplingParams, attributes: Mapping[str, object]) -> SamplingParams:
        """Return parameters with others set as well, which an installed sampler or controller declares.

        Raises:
            RequestError: nobody declares a name, or a value is wrong.
        """
        return self.session.manager.add_attributes(params, attributes)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer; None where it has none, and prompts are token ids."""
        return self.session.parts.tokenizer

    @overload
    def generate(  # pyright: ignore[reportOverlappingOverload] - to a type checker one text is many texts, too
        self, prompts: str | Sequence[int], params: ParamsLike | None = None, *, progress: bool = False
    ) -> InferenceRequest: ...

    @overload
    def generate(
        self,
        prompts: Iterable[str] | Iterable[Sequence[int]],
        params: ParamsLike | Sequence[ParamsLike] | None = None,
        *,
        progress: bool = False,
    ) -> list[InferenceRequest]: ...

    def generate(
        self, prompts: Any, params: ParamsLike | Sequence[ParamsLike] | None = None, *, progress: bool = False
    ) -> InferenceRequest | list[InferenceRequest]:
        """Generate from a text, from ids, or from several of either: a list, or anything else to iterate over.

        Args:
            progress: show on a terminal how many prompts are done.

        Returns:
            One request for one prompt, a list of requests in order for several. A request that failed has its reason
            in `.error`; the others are not affected.
        """
        several, listed = as_prompts(prompts)
        requests = self._run(listed, _each(params, len(listed)), None, progress)
        return requests if several else requests[0]

    @overload
    def chat(
        self,
        messages: Sequence[Message],
        params: ParamsLike | None = None,
        *,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        parser: str | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool | None = None,
        continue_final_message: bool = False,
        progress: bool = False,
    ) -> InferenceRequest: ...

    @overload
    def chat(
        self,
        messages: Iterable[Sequence[Message]],
        params: ParamsLike | Sequence[ParamsLike] | None = None,
        *,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        parser: str | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool | None = None,
        continue_final_message: bool = False,
        progress: bool = False,
    ) -> list[InferenceRequest]: ...

    def chat(
        self,
        messages: Any,
        params: ParamsLike | Sequence[ParamsLike] | None = None,
        *,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        parser: str | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool | None = None,
        continue_final_message: bool = False,
        progress: bool = False,
    ) -> InferenceRequest | list[InferenceRequest]:
        """Answer a conversation, or several: lists of {"role": ..., "content": ...}.

        Args:
            chat_template: Jinja text, a file of it, or the name of one of the model's templates; by default its own.
            chat_template_kwargs: variables for the template, such as {"enable_thinking": False}.
            tools: functions on offer, as JSON schemas.
            parser: what `parse` takes answers apart with: a parser's name, "auto" (by the template) or "none".
            documents: texts to answer from, for templates that take them.
            add_generation_prompt: begin the answer; by default unless the last message goes on.
            continue_final_message: go on with the last message's text instead of answering it.
            progress: show on a terminal how many conversations are done.

        Returns:
            As `generate`.
        """
        several, listed = as_conversations(messages)
        if chat_template is not None:
            known = () if self.tokenizer is None else tuple(self.tokenizer.chat_templates)
            chat_template = template_text(chat_template, known)
        given = {
            "chat_template": chat_template,
            "chat_template_kwargs": dict(chat_template_kwargs) if chat_template_kwargs else None,
            "tools": [dict(tool) for tool in tools] if tools is not None else None,
            "parser": parser,
            "documents": [dict(text) for text in documents] if documents is not None else None,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": continue_final_message or None,
        }
        chat = ChatOptions.checked({name: value for name, value in given.items() if value is not None})
        self.session.check_parser(chat)
        requests = self._run(listed, _each(params, len(listed)), chat, progress)
        return requests if several else requests[0]

    def stream(self, prompt: Prompt, params: ParamsLike | None = None) -> Iterator[RequestOutput]:
        """Generate from one prompt, yielding what each step adds."""
        several, prompts = as_prompts(prompt)
        if several:
            raise RequestError(f"stream takes one prompt (got {len(prompts)}): use generate, or an AsyncEngine")
        (own,) = _each(params, 1)
        request = InferenceRequest(prompt=prompts[0], params=own.over(self._defaults), chat=self._chat)
        yield from self.session.run([request])

    @overload
    def embed(  # pyright: ignore[reportOverlappingOverload] - as in generate
        self,
        texts: str | Sequence[int],
        *,
        pooling: str = "last",
        normalize: bool = True,
        hidden_layers: Sequence[int] = (),
        progress: bool = False,
    ) -> InferenceRequest: ...

    @overload
    def embed(
        self,
        texts: Iterable[str] | Iterable[Sequence[int]],
        *,
        pooling: str = "last",
        normalize: bool = True,
        hidden_layers: Sequence[int] = (),
        progress: bool = False,
    ) -> list[InferenceRequest]: ...

    def embed(
        self,
        texts: Any,
        *,
        pooling: str = "last",
        normalize: bool = True,
        hidden_layers: Sequence[int] = (),
        progress: bool = False,
    ) -> InferenceRequest | list[InferenceRequest]:
        """Embed a text, or several: texts or token ids. Other requests of the same model share the steps.

            vectors = [request.embedding for request in llm.embed(["one text", "and another"])]

        Args:
            pooling: "last" or "cls", the final hidden state of the last or the first token; "mean", of all.
            normalize: to length 1.
            hidden_layers: layers after which `hidden_states` of all tokens are wanted as well, as transformers counts
                them: 0 is the embedding layer, -1 has the final norm.
            progress: show on a terminal how many texts are done.

        Returns:
            As `generate`: requests, each with its `embedding`, or its `error`.
        """
        several, listed = as_prompts(texts)
        params = SamplingParams.from_flat(
            {"pooling": pooling, "normalize": normalize, "hidden_layers": list(hidden_layers) or None}
        )
        requests = self._run(listed, [params] * len(listed), None, progress)
        return requests if several else requests[0]

    def score(self, prompts: Any, continuations: Any) -> Any:
        """Say how likely continuations are after prompts, as texts or token ids.

        Args:
            prompts: one, or as many as there are continuations.
            continuations: one, or several. Several after one prompt compute the prompt once where the engine shares
                prefixes (`engine="dynamic"`).

        Returns:
            A `Score` for one continuation, a list of them in order for several; one that failed has its `error`.

        Raises:
            RequestError: there are other numbers of prompts than of continuations, or texts beside ids.
        """
        several, listed = as_prompts(continuations)
        many, given = as_prompts(prompts)
        if not many:
            given = given * len(listed)
        if len(given) != len(listed):
            raise RequestError(
                f"{len(given)} prompts and {len(listed)} continuations; give one prompt, or one for each"
            )
        pairs = [encode_pair(self.tokenizer, *pair) for pair in zip(given, listed, strict=True)]
        scores = score_continuations(self.session, pairs)
        return scores if several or many else scores[0]

    @overload
    def perplexity(self, texts: str | Sequence[int], *, window: int | None = None) -> Perplexity: ...  # pyright: ignore[reportOverlappingOverload] - as in generate

    @overload
    def perplexity(
        self, texts: Iterable[str] | Iterable[Sequence[int]], *, window: int | None = None
    ) -> list[Perplexity]: ...

    def perplexity(self, texts: Any, *, window: int | None = None) -> Perplexity | list[Perplexity]:
        """Say how well the model predicts a text, or several: texts or token ids.

        Args:
            window: tokens that are computed together, by default what the engine allows; longer texts are divided.
        """
        several, listed = as_prompts(texts)
        found = score_texts(self.session, [encode_text(self.tokenizer, text) for text in listed], window)
        return found if several else found[0]

    def parse(self, request: InferenceRequest, sequence: int = 0) -> ParsedAnswer:
        """Take a finished answer apart: content, reasoning and tool calls, as the model's chat template has them.

            request = llm.chat(messages, tools=tools)
            for call in llm.parse(request).tool_calls: ...

        An answer of a model that no parser knows is content as it is.

        Raises:
            RequestError: the request has failed, or names a parser that is not there.
        """
        return self.session.parse(request, sequence)

    @property
    def control(self) -> Control:
        """Pausing, giving memory back, other weights: for other threads, and between runs.

        llm.control.update_weights("step-100")
        """
        return self.session.control

    def close(self) -> None:
        """Give back memory, and end the processes that share the model."""
        self.session.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        spec = self.session.resolved.spec
        device = "closed" if self.session.engine.closed else f"on {self.session.parts.runtime.device}"
        return f"<LLM {spec.model.checkpoint}, engine {spec.engine.name}, {device}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"

    def _run(
        self, prompts: Sequence[Prompt], params: Sequence[SamplingParams], chat: ChatOptions | None, progress: bool
    ) -> list[InferenceRequest]:
        chat = chat.over(self._chat) if chat is not None and self._chat is not None else chat or self._chat
        requests = [
            InferenceRequest(prompt=prompt, params=own.over(self._defaults), index=index, chat=chat)
            for index, (prompt, own) in enumerate(zip(prompts, params, strict=True))
        ]
        with progress_bar("generating", total=len(requests), unit="requests", shown=progress) as bar:
            for output in self.session.run(requests):
                if progress and output.request.is_finished:
                    bar.update(sum(request.is_finished for request in requests))
        return requests


def _each(params: ParamsLike | Sequence[ParamsLike] | None, count: int) -> list[SamplingParams]:
    """One set of parameters per prompt.

    Raises:
        RequestError: there is another number of them, or something that is no SamplingParams.
    """
    if params is None or isinstance(params, SamplingParams | Mapping):
        return [_one(params or {})] * count
    if isinstance(params, str) or not isinstance(params, Iterable):
        return [_one(params)]
    each = [_one(own) for own in params]
    if len(each) != count:
        raise RequestError(f"{count} prompts and {len(each)} sets of parameters; give one, or one for each")
    return each


def _one(params: Any) -> SamplingParams:
    if isinstance(params, SamplingParams):
        return params
    if isinstance(params, Mapping):
        return SamplingParams.from_flat(params)
    raise RequestError(f"parameters are SamplingParams, a mapping of them, or a list of either (got {params!r})")
