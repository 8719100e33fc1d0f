"""What is sure to fail on this machine although the spec is in order: looked for by `plugtron check`, without torch."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plugtron.contracts.checkpoint import ModelDescription
from plugtron.errors import Problem, RequestError, SpecError
from plugtron.hub.aliases import ALIASES
from plugtron.hub.location import is_hub_id
from plugtron.request.chat_options import is_template_text, template_text
from plugtron.spec.load import Source
from plugtron.spec.prompt_file import parse_prompts, read_lines

__all__ = ["check_ranks", "has_cuda", "preflight"]

#: Where formats say how many heads and layers a model has; in GGUF files behind the architecture's name.
_HEADS = ("num_attention_heads", "n_head", "attention.head_count")
_JINJA = (".jinja", ".jinja2", ".j2")
#: Each rank is a process of some hundred megabytes.
_RANKS_OF_A_CORE = 16
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "block_count")


def preflight(source: Source, model: ModelDescription | None) -> list[Problem]:
    """Say what is sure to fail. It works on the values as they are written, so that a mistake elsewhere hides nothing.

    Args:
        model: what the checkpoint's headers say; None while it is not at hand.
    """
    checks: tuple[Callable[[Source, ModelDescription | None], Iterator[Problem]], ...] = (
        _model, _device, _prompts, _template, _output, _ranks,
    )  # fmt: skip
    found = [problem for check in checks for problem in check(source, model)]
    known = {".".join(map(str, place)) for place in source.unplaced}
    return [problem for problem in found if problem.place not in known]


def check_ranks(source: Source, model: ModelDescription | None, *, started_here: bool) -> None:
    """Say before the model is loaded that the ranks cannot share it, or are too many to be started here.

    Raises:
        SpecError: so it is.
    """
    problems = list(_ranks(source, model))
    count = math.prod(filter(_is_count, (_at(source, "parallel", name) for name in ("tensor", "pipeline", "data"))))
    most = _RANKS_OF_A_CORE * (os.cpu_count() or 1)
    if started_here and count > most:
        text = f"{count} ranks are too many for this machine's {os.cpu_count()} cores: at most {most}"
        problems.append(source.problem(("parallel",), f"{text}, or more under torchrun, on several machines"))
    if problems:
        raise SpecError(problems)


def _at(source: Source, *place: str) -> Any:
    value: Any = source.values
    for part in place:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _model(source: Source, model: ModelDescription | None) -> Iterator[Problem]:
    name = _at(source, "model", "checkpoint")
    from_hub = isinstance(name, str) and name not in ALIASES and is_hub_id(name) and not Path(name).exists()
    if model is None and from_hub and find_spec("huggingface_hub") is None:
        text = f"{name!r} has to be fetched from the hub: pip install 'plugtron[hub]'"
        yield source.problem(("model", "checkpoint"), text)


def _device(source: Source, model: ModelDescription | None) -> Iterator[Problem]:
    del model
    if _at(source, "device") == "cuda" and not has_cuda():
        yield source.problem(("device",), "cuda: this machine has no CUDA device (accepted here: auto, cpu)")


def has_cuda() -> bool:
    """Whether the driver is there and counts a device; asked without torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _prompts(source: Source, model: ModelDescription | None) -> Iterator[Problem]:
    del model
    prompts, file = _at(source, "prompts"), _at(source, "prompts", "file")
    if prompts is None or prompts == []:
        yield source.problem(("prompts",), "there is none (give a list, or {file: prompts.jsonl})")
    elif isinstance(prompts, list):
        for index, prompt in enumerate(prompts):
            if prompt == [] or (isinstance(prompt, dict) and prompt.get("tokens") == []):
                yield source.problem(("prompts", index), "is empty: a prompt has at least one token")
    elif isinstance(file, str) and not _is_pipe(file):  # which is for the run to read
        try:
            parse_prompts(read_lines(file), file)
        except SpecError as error:
            for problem in error.problems:
                yield source.problem(("prompts", "file"), problem.message) if problem.line is None else problem


def _is_pipe(file: str) -> bool:
    with contextlib.suppress(OSError):  # of a name that cannot be one; reading it says what is wrong
        return Path(file).exists() and not Path(file).is_file()
    return False


def _template(source: Source, model: ModelDescription | None) -> Iterator[Problem]:
    del model
    template = _at(source, "chat_template")
    if isinstance(template, str) and not is_template_text(template) and ("/" in template or template.endswith(_JINJA)):
        try:
            template_text(template)
        except RequestError as error:
            yield source.problem(("chat_template",), str(error).removeprefix("chat_template: "))


def _output(source: Source, model: ModelDescription | None) -> Iterator[Problem]:
    del model
    written, prompts = _at(source, "output", "file"), _at(source, "prompts", "file")
    if not isinstance(written, str):
        return
    output = Path(written)
    try:
        if not output.parent.is_dir():
            yield source.problem(("output", "file"), f"there is no folder {output.parent}")
        elif output.is_dir():
            yield source.problem(("output", "file"), f"{output} is a folder: name a file in it")
        elif not os.access(output if output.exists() else output.parent, os.W_OK):
            yield source.problem(("output", "file"), f"cannot write {output}: Permission denied")
        for other in (source.file, prompts):
            if isinstance(other, str) and output.exists() and Path(other).exists() and output.samefile(other):
                yield source.problem(("output", "file"), f"{output} is {other}, which is read: name another file")
    except OSError as error:
        yield source.problem(("output", "file"), f"cannot write {written}: {error.strerror}")


def _ranks(source: Source, model: ModelDescription | None) -> Iterator[Problem]:
    tensor, stages = _at(source, "parallel", "tensor"), _at(source, "parallel", "pipeline")
    heads, layers = (_of_model(model, names) for names in (_HEADS, _LAYERS))
    if _is_count(tensor) and heads and heads % tensor:
        fitting = ", ".join(str(ranks) for ranks in range(1, heads + 1) if heads % ranks == 0)
        text = f"{tensor} ranks cannot share the model's {heads} attention heads (accepted: {fitting})"
        yield source.problem(("parallel", "tensor"), text)
    if _is_count(stages) and layers and stages > layers:
        yield source.problem(("parallel", "pipeline"), f"{layers} layers make {layers} stages at the most")


def _of_model(model: ModelDescription | None, names: tuple[str, ...]) -> int | None:
    if model is None:
        return None
    values = (model.configuration.get(key) for name in names for key in (name, f"{model.architecture}.{name}"))
    return next((value for value in values if _is_count(value)), None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
