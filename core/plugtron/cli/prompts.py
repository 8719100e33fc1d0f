"""The prompts of a spec as requests: written in it, or in a file of JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plugtron.errors import Problem, RequestError, SpecError
from plugtron.parallel.group import Group
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec.chat_defaults import chat_defaults
from plugtron.spec.model import PromptFile, PromptSpec, Spec
from plugtron.spec.prompt_file import parse_prompts, read_lines

__all__ = ["read_prompts"]


def read_prompts(spec: Spec, group: Group) -> list[InferenceRequest]:
    """Make a request of every prompt, on every rank; its own parameters come before the spec's.

    Raises:
        SpecError: there is none, the file cannot be read, or a line of it is no prompt.
    """
    prompts = _from_file(spec.prompts.file, group) if isinstance(spec.prompts, PromptFile) else spec.prompts
    defaults, chat = group.run_on_all_ranks(lambda: _defaults(spec, prompts))
    return [_request(index, prompt, defaults, chat) for index, prompt in enumerate(prompts)]


def _defaults(spec: Spec, prompts: Sequence[PromptSpec]) -> tuple[SamplingParams, ChatOptions]:
    if not prompts:
        raise SpecError([Problem("prompts", "there is none (give a list, or {file: prompts.jsonl})")])
    return SamplingParams.from_flat(spec.sampling), chat_defaults(spec)


def _from_file(file: str, group: Group) -> list[PromptSpec]:
    """Read a file; one that can be read only once, such as standard input, is read by the first rank for all."""
    if Path(file).is_file() or group.size == 1:
        return group.run_on_all_ranks(lambda: parse_prompts(read_lines(file), file))
    own = group.run_on_all_ranks(lambda: list(read_lines(file)) if group.rank == 0 else [])
    lines: list[str] = group.broadcast_json(own)
    return group.run_on_all_ranks(lambda: parse_prompts(lines, file))


def _request(index: int, prompt: PromptSpec, defaults: SamplingParams, chat: ChatOptions) -> InferenceRequest:
    content = prompt.prompt if prompt.prompt is not None else prompt.messages or prompt.tokens or []
    request = InferenceRequest(
        prompt=content,
        params=defaults,
        index=index,
        priority=prompt.priority,
        deadline=prompt.deadline,
        cache_salt=prompt.cache_salt,
        chat=prompt.chat.over(chat) if prompt.messages else None,
    )
    try:
        request.params = SamplingParams.from_flat(prompt.sampling).over(defaults)
    except RequestError as error:
        # In the spec itself this was checked; in a file of prompts it costs this prompt alone.
        request.fail(str(error))
    return request
