"""Hugging Face folders with other configurations, and what makes two models' logits the same."""

import json
import shutil

from safetensors.torch import load_file, save_file


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
