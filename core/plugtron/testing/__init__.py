"""The conformance kit: classes of checks to subclass, one for each kind of component, and what tests of plugins need.

Its pytest plugin comes with plugtron: fixtures `plugtron_host`, `plugtron_model`, `plugtron_spec`, `plugtron_ranks` and
`plugtron_hooks`, and `--plugtron-report FILE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.testing.checks.base import ComponentChecks, refuse
    from plugtron.testing.checks.sampler import SamplerChecks
    from plugtron.testing.host import Host
    from plugtron.testing.models import SHAPES, write_model, write_tokenizer
    from plugtron.testing.ranks import RankFailed, run_on_ranks
    from plugtron.testing.recorder import HookRecorder
    from plugtron.testing.requests import candidates_of, request_of, sequence_of

__all__ = [
    "SHAPES",
    "ComponentChecks",
    "HookRecorder",
    "Host",
    "RankFailed",
    "SamplerChecks",
    "candidates_of",
    "refuse",
    "request_of",
    "run_on_ranks",
    "sequence_of",
    "write_model",
    "write_tokenizer",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "ComponentChecks": "plugtron.testing.checks.base",
    "HookRecorder": "plugtron.testing.recorder",
    "Host": "plugtron.testing.host",
    "RankFailed": "plugtron.testing.ranks",
    "SHAPES": "plugtron.testing.models",
    "SamplerChecks": "plugtron.testing.checks.sampler",
    "candidates_of": "plugtron.testing.requests",
    "refuse": "plugtron.testing.checks.base",
    "request_of": "plugtron.testing.requests",
    "run_on_ranks": "plugtron.testing.ranks",
    "sequence_of": "plugtron.testing.requests",
    "write_model": "plugtron.testing.models",
    "write_tokenizer": "plugtron.testing.models",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
