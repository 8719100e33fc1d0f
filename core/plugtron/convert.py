"""Writing a checkpoint, whatever its format, as a Hugging Face folder: config.json, safetensors, tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from plugtron.assembly.build import build_parts, make_runtime
from plugtron.checkpoint.loader import expand, targets
from plugtron.checkpoint.quantized_safetensors import as_stored
from plugtron.checkpoint.safetensors import METHOD
from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import ModelOptions
from plugtron.contracts.parts import Parts
from plugtron.contracts.weights import Section
from plugtron.contracts.wrapper import Export
from plugtron.errors import CheckpointError, SpecError
from plugtron.execution.wrapper import DecoderWrapper
from plugtron.parallel.layers import ColumnParallelLinear, Part, RowParallelLinear
from plugtron.parallel.world import World
from plugtron.plugin.component import Need
from plugtron.quantization.method import WeightPart, hold_all
from plugtron.quantization.policy import Grouped
from plugtron.quantization.weight import GROUP, QuantizedWeight
from plugtron.spec.resolved import ResolvedSpec
from plugtron.utils.progress import progress
from plugtron.utils.unfinished import unfinished_folder

__all__ = ["convert"]

_SHARD_BYTES = 4 * 2**30


def convert(resolved: ResolvedSpec, output: Path) -> bool:
    """Write the model of a spec to `output`, which appears when everything is in it.

    Returns:
        Whether the tokenizer is in it too.

    Raises:
        SpecError: `output` is there already.
        CheckpointError: the model cannot be read, or its wrapper has no form to write.
    """
    output = output.resolve()
    if resolved.spec.parallel.ranks > 1:
        raise SpecError("parallel: a conversion runs in one process")
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise SpecError(f"{output} is there already: name a folder that is not, or is empty")
    except OSError as error:
        raise SpecError(f"{output} cannot be written: {error.strerror}") from None
    assert resolved.model is not None
    runtime = make_runtime(resolved, resolved.model, World(rank=0, size=1))
    parts = build_parts(resolved, runtime, frozenset({Need.CHECKPOINT, Need.TOKENIZER, Need.WRAPPER}))
    wrapper = parts.wrapper
    if not isinstance(wrapper, DecoderWrapper):
        raise CheckpointError(f"{type(wrapper).__name__} cannot be converted")
    if wrapper.info.headless:
        raise CheckpointError(f"{resolved.model.path}: the model has no head, and so cannot be converted")
    export = wrapper.export()
    with unfinished_folder(output) as scratch:
        _write_weights(wrapper, export, scratch)
        has_tokenizer = parts.tokenizer is not None and parts.tokenizer.save(scratch)
        _write_json(scratch / "config.json", _configuration(export, parts))
    return has_tokenizer


def _configuration(export: Export, parts: Parts) -> dict[str, Any]:
    tokenizer, bits = parts.tokenizer, _bits(parts.options)
    assert parts.model is not None
    quantized = {"quant_method": METHOD, "bits": bits, "group_size": GROUP}
    ends = parts.model.eos_ids if tokenizer is None else tokenizer.eos_ids
    return {
        **export.configuration,
        "dtype": str(parts.runtime.dtype).removeprefix("torch."),
        "bos_token_id": None if tokenizer is None else tokenizer.bos_id,
        "eos_token_id": list(ends) or None,
        **({} if bits is None else {"quantization_config": quantized}),
    }


def _bits(options: ModelOptions) -> int | None:
    """What linear layers are quantized to, as config.json says it."""
    method = options.quantization
    return method.bits if isinstance(method, Grouped) else None


def _write_weights(wrapper: DecoderWrapper, export: Export, folder: Path) -> None:
    """Write the model layer by layer, so that no more of it than a shard is in memory."""
    layers, method = wrapper.num_layers, wrapper.options.quantization
    exact = wrapper.over(replace(wrapper.runtime, dtype=torch.float32))
    shards: list[dict[str, int]] = []
    waiting: dict[str, Tensor] = {}
    done: set[str] = set()
    with progress("converting", total=layers, unit="layers") as bar:
        for layer in range(layers):
            decoder = exact.load(range(layer, layer + 1))
            quantized = {} if method is None else _quantized(decoder, range(layer, layer + 1), export, wrapper)
            for name, tensor in _stored(decoder, range(layer, layer + 1), export).items():
                if name in done:  # a tied embedding is at both ends
                    continue
                done.add(name)
                held = hold_all(method, quantized[name], tensor) if name in quantized and tensor.dim() == 2 else None
                if isinstance(held, QuantizedWeight):
                    waiting |= as_stored(name, held)
                else:
                    waiting[name] = tensor.to(wrapper.runtime.dtype)
            if sum(tensor.nbytes for tensor in waiting.values()) >= _SHARD_BYTES:
                shards.append(_flush(waiting, folder, len(shards)))
                waiting = {}
            bar.update(layer + 1)
    if waiting:
        shards.append(_flush(waiting, folder, len(shards)))
    _name_shards(shards, folder)


def _quantized(decoder: Decoder, layers: range, export: Export, wrapper: DecoderWrapper) -> dict[str, WeightPart]:
    """Which tensors of some layers are quantized, and as what: those that belong to one linear layer each."""
    assert isinstance(decoder, nn.Module)
    method = wrapper.options.quantization
    found: dict[str, WeightPart] = {}
    for weight in expand(export.weights.weights, layers):
        path, _, name = weight.parameter.rpartition(".")
        if name != "weight" or path not in dict(decoder.named_modules()):
            continue
        module = decoder.get_submodule(path)
        head = path == "output" or (path == "embedding" and wrapper.tied)
        if head or isinstance(module, ColumnParallelLinear | RowParallelLinear):
            for tensor in weight.tensors:
                if not isinstance(tensor, str):
                    architecture = export.configuration["architectures"][0]
                    raise SpecError(
                        f"quantization {method and method.name}: {architecture} stores several linear layers in "
                        "one tensor, which is not written quantized; leave it out here, and quantize at a run's start"
                    )
                found[tensor] = "head" if head else "layer"
    return found


def _stored(decoder: Decoder, layers: range, export: Export) -> dict[str, Tensor]:
    """The tensors of some layers as they are written: the loader's work, the other way round."""
    own = targets(decoder)
    found: dict[str, Tensor] = {}
    for weight in expand(export.weights.weights, layers):
        if weight.parameter not in own:
            continue
        assert weight.transform is None, "an export writes what is there"
        parameter, parts = own[weight.parameter]
        for tensor, part in zip(weight.tensors, parts, strict=True):
            value = parameter.data[part.target].reshape(part.shape).cpu()
            if isinstance(tensor, Section):
                _fill(found, tensor, part, value)
            else:
                found[tensor] = value[: export.rows.get(tensor)].contiguous().clone()
    return found


def _fill(found: dict[str, Tensor], section: Section, part: Part, value: Tensor) -> None:
    shape = (section.total, *part.shape[1:])
    whole = found.setdefault(section.tensor, torch.zeros(shape[::-1] if section.transposed else shape).to(value.dtype))
    rows = whole.T if section.transposed else whole
    at = 0
    for stored in section.stored_rows(0, part.shape[0]):
        rows[stored] = value[at : at + stored.stop - stored.start]
        at += stored.stop - stored.start


def _flush(tensors: Mapping[str, Tensor], folder: Path, number: int) -> dict[str, int]:
    file = folder / f"part-{number}.safetensors"
    try:
        save_file(dict(tensors), file, metadata={"format": "pt"})
    except SafetensorError as error:  # in the library's own words: a full disk, mostly
        raise OSError(0, f"the weights cannot be written: {error}") from None
    file.chmod(0o644)  # the library writes files for their owner alone
    return {name: tensor.nbytes for name, tensor in tensors.items()}


def _name_shards(shards: list[dict[str, int]], folder: Path) -> None:
    """Give the files their names, which say how many there are, and write the index of several."""
    if len(shards) == 1:
        (folder / "part-0.safetensors").rename(folder / "model.safetensors")
        return
    index: dict[str, str] = {}
    for number, shard in enumerate(shards):
        name = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"part-{number}.safetensors").rename(folder / name)
        index |= dict.fromkeys(shard, name)
    total = sum(size for shard in shards for size in shard.values())
    _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})


def _write_json(file: Path, values: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
