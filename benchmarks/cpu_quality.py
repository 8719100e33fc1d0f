"""How near a side is to float32: over two texts, teacher forced, its likeliest tokens and its distributions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from plugtron import LLM

if TYPE_CHECKING:
    from cpu_sides import Side

__all__ = ["measure_quality"]

#: How much of each text is followed.
_PLACES = 800


def measure_quality(model: str, sides: Sequence[Side], reference: Side) -> dict[str, dict[str, dict[str, float]]]:
    """For each side and text the share of places where the likeliest token is the reference's ("top_1"), and the mean
    divergence KL(reference || side) in nats where a side gives all logits ("kl")."""
    found: dict[str, dict[str, dict[str, float]]] = {side.name: {} for side in sides}
    with TemporaryDirectory() as folder:
        exact, own = Path(folder) / "exact.npy", Path(folder) / "own.npy"
        for name, text in _texts(model).items():
            expected = reference.ask(text=text, logits=str(exact))["tokens"]
            log_probs = torch.from_numpy(np.load(exact)).log_softmax(-1)
            for side in sides:
                tokens: list[int] = side.ask(text=text, logits=str(own))["tokens"]
                same = [one == other for one, other in zip(tokens, expected, strict=False)]
                found[side.name][name] = {"top_1": sum(same) / len(same)}
                if own.exists():
                    theirs = torch.from_numpy(np.load(own)).log_softmax(-1)
                    divergences = (log_probs.exp() * (log_probs - theirs)).sum(-1)
                    found[side.name][name]["kl"] = divergences.mean().item()
                    own.unlink()
    return found


def _texts(model: str) -> dict[str, list[int]]:
    """Ids of our license and of a page of Python."""
    with LLM(model) as llm:
        tokenizer = llm.session.parts.tokenizer
        assert tokenizer is not None
        sources = {"LICENSE": Path(__file__).parents[1] / "LICENSE", "argparse.py": Path(argparse.__file__)}
        return {name: tokenizer.encode(path.read_text())[:_PLACES] for name, path in sources.items()}
