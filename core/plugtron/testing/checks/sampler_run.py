"""What a sampler has to keep to in whole runs: claimed by inheriting from this class, not from SamplerChecks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from plugtron.assembly.session import Session
from plugtron.plugin.component import Kind
from plugtron.request import InferenceRequest, SamplingParams
from plugtron.testing.checks.base import refuse
from plugtron.testing.checks.generation import PROMPTS, outputs_of
from plugtron.testing.checks.sampler import SamplerChecks
from plugtron.testing.host import Host
from plugtron.testing.ranks import run_on_ranks

__all__ = ["SamplerRunChecks"]

_SEED = 3
_RANKS = 2
_PLAIN: Mapping[str, Any] = MappingProxyType({"seed": _SEED, "max_tokens": 10, "ignore_eos": True})


class SamplerRunChecks(SamplerChecks):
    """For samplers whose outcome follows from a request and its seed: the same in every run, and on every rank."""

    def test_seeded_runs_repeat(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """A seeded request gives the same again, and beside requests with and without the sampler."""
        with plugtron_host.session(_values(plugtron_model("padded"), self.reference(plugtron_host))) as session:
            for case in self.cases:
                alone = _run(session, PROMPTS[:1], [case])[0]
                again = _run(session, PROMPTS, [case, {}, case, {}, case])[0]
                if alone != again:
                    refuse(f"with {case} seed {_SEED} gives {alone} alone and {again} in company")

    def test_is_skipped_when_unused(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """A request that asks for nothing of it gives what it gives without it in the chain."""
        found = []
        for chain in ([self.reference(plugtron_host)], []):
            with plugtron_host.session({**_values(plugtron_model("padded")), "samplers": chain}) as session:
                found.append(_run(session, PROMPTS, [{}] * len(PROMPTS)))
        if found[0] != found[1]:
            refuse(f"a request that asks for nothing of it gives {found[0]}, without it in the chain {found[1]}")

    def test_ranks_agree(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """Two ranks give what one gives, and both know it."""
        reference, folder = self.reference(plugtron_host), plugtron_model("padded")
        with plugtron_host.session(_values(folder, reference)) as session:
            expected = [_run(session, PROMPTS, [case] * len(PROMPTS)) for case in self.cases]
        arguments = self.module_name(), str(folder), self.component, dict(self.options), list(map(dict, self.cases))
        for rank, found in enumerate(run_on_ranks(_RANKS, _on_a_rank, *arguments)):
            if found != expected:
                refuse(f"rank {rank} of {_RANKS} gives {found}, on one rank it is {expected}")


def _values(folder: Path, sampler: Mapping[str, Any] | None = None) -> dict[str, Any]:
    chosen = {} if sampler is None else {"samplers": [sampler]}
    return {"model": {"checkpoint": str(folder), "dtype": "float32"}, "device": "cpu", **chosen}


def _run(session: Session, prompts: Sequence[list[int]], cases: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    requests = [
        InferenceRequest(prompt=list(prompt), params=SamplingParams.from_flat({**_PLAIN, **case}))
        for prompt, case in zip(prompts, cases, strict=True)
    ]
    outputs_of(session, requests)
    for request in requests:
        if request.error is not None:
            refuse(f"prompt {request.prompt} fails: {request.error}")
    return [request.tokens for request in requests]


def _on_a_rank(
    plugin: str | None, folder: str, component: str, options: dict[str, Any], cases: list[dict[str, Any]]
) -> list[list[list[int]]]:
    host = Host() if plugin is None else Host(plugin)
    sampler = {"name": host.reference(Kind.SAMPLER, component), "options": options}
    with host.session({**_values(Path(folder), sampler), "parallel": {"tensor": _RANKS}}) as session:
        return [_run(session, PROMPTS, [case] * len(PROMPTS)) for case in cases]
