"""The prompts of a spec as requests: written in it, or in a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from plugtron import messages
from plugtron.chat_options import ChatOptions
from plugtron.errors import Problem, RequestError, SpecError
from plugtron.request import InferenceRequest
from plugtron.sampling_params import SamplingParams
from plugtron.spec.model import PromptFile, PromptSpec, Spec

__all__ = ["read_prompts"]


def read_prompts(spec: Spec) -> list[InferenceRequest]:
    """Make a request of every prompt; its own parameters come before the spec's.

    Raises:
        SpecError: there is none, the file cannot be read, or a line of it is no prompt.
    """
    defaults = SamplingParams.from_flat(spec.sampling)
    prompts = _read_file(spec.prompts.file) if isinstance(spec.prompts, PromptFile) else spec.prompts
    if not prompts:
        raise SpecError("prompts: there is none (give a list, or {file: prompts.jsonl})")
    return [_request(index, prompt, defaults, spec.chat) for index, prompt in enumerate(prompts)]


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


def _read_file(name: str) -> Sequence[PromptSpec]:
    try:
        # Not splitlines(): JSON texts may hold characters that it takes for the end of a line.
        lines = Path(name).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"prompts.file: cannot read {name}: {reason}") from None
    prompts, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(Problem("", f"not JSON: {getattr(error, 'msg', error)}", name, number))
            continue
        try:
            prompts.append(PromptSpec.model_validate(value))
        except ValidationError as error:
            found = messages.describe(error, PromptSpec, value)
            problems += [Problem(".".join(map(str, place)), text, name, number) for place, text in found]
    if problems:
        raise SpecError(problems)
    return prompts
