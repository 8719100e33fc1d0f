"""What `auto` comes to on this machine, for `plugtron show`; without torch."""

from __future__ import annotations

import os

from plugtron.assembly.stored_dtype import choose_dtype
from plugtron.spec.preflight import has_cuda
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["settled"]


def settled(resolved: ResolvedSpec) -> dict[str, str]:
    """The values of a spec that are `auto` or left open, by place, as far as they are known before a run."""
    spec = resolved.spec
    gpu = spec.device == "cuda" or (spec.device == "auto" and has_cuda())
    found: dict[str, str] = {}
    if spec.device == "auto":
        found["device"] = "cuda" if gpu else "cpu"
    if resolved.model is not None and spec.model.dtype == "auto":
        found["model.dtype"] = choose_dtype("auto", resolved.model, on_gpu=gpu)
    if spec.model.kv_dtype == "auto":
        found["model.kv_dtype"] = found.get("model.dtype", "model.dtype")
    if spec.execution.name == "auto":
        found["execution"] = "graph, else eager" if gpu else "native, else eager"
    if spec.threads is None:
        found["threads"] = str(max(1, (os.cpu_count() or 1) // spec.parallel.ranks))
    return found
