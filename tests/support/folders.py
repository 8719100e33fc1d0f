"""Hugging Face folders with other configurations, and what makes two models' logits the same."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

#: How the names of gpt-oss's experts end.
EXPERTS = ("gate_up_proj", "down_proj")


def change(folder, target, *, without=(), **changes):
    """A copy of a folder with fields of config.json changed or left out."""
    shutil.copytree(folder, target)
    configuration = json.loads((target / "config.json").read_text()) | changes
    kept = {name: value for name, value in configuration.items() if name not in without}
    (target / "config.json").write_text(json.dumps(kept))
    return target


def same(found, expected):
    return (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def rewritten(folder, target, change, **fields):
    """A copy of a folder with other tensors, and other fields in its configuration."""
    target.mkdir(exist_ok=True)
    save_file(change(load_file(folder / "model.safetensors")), target / "model.safetensors")
    configuration = json.loads((folder / "config.json").read_text()) | fields
    (target / "config.json").write_text(json.dumps(configuration))
    return target


def mxfp4_folder(folder, target):
    """A copy of a folder of gpt-oss with random experts in MXFP4, as it is published."""
    return rewritten(folder, target, _in_fours, quantization_config={"quant_method": "mxfp4"})


def _in_fours(tensors):
    random = torch.Generator().manual_seed(5)
    found = {}
    for name, tensor in tensors.items():
        if not name.endswith(EXPERTS):
            found[name] = tensor
            continue
        count, inputs, outputs = tensor.shape
        shape = count, outputs, inputs // 32
        found[f"{name}_blocks"] = torch.randint(0, 256, (*shape, 16), generator=random, dtype=torch.uint8)
        found[f"{name}_scales"] = torch.randint(121, 126, shape, generator=random, dtype=torch.uint8)
    return found
