"""The conformance kit: classes of checks to subclass, one for each kind of component, and what tests of plugins need.

Its pytest plugin comes with plugtron: fixtures `plugtron_host`, `plugtron_model`, `plugtron_spec`, `plugtron_ranks` and
`plugtron_hooks`, and `--plugtron-report FILE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.testing.checks.attention import AttentionChecks
    from plugtron.testing.checks.base import ComponentChecks, PluginChecks, refuse
    from plugtron.testing.checks.checkpoint import CheckpointChecks
    from plugtron.testing.checks.command import CommandChecks
    from plugtron.testing.checks.controller import ControllerChecks, PlainControllerChecks
    from plugtron.testing.checks.engine import EngineChecks, SharedModelEngineChecks
    from plugtron.testing.checks.execution import DeterministicExecutionChecks, ExecutionChecks
    from plugtron.testing.checks.generation import GenerationChecks
    from plugtron.testing.checks.observer import ObserverChecks
    from plugtron.testing.checks.parser import ParserChecks
    from plugtron.testing.checks.quantization import QuantizationChecks
    from plugtron.testing.checks.routes import RouteCase, RoutesChecks, ServedRoutes
    from plugtron.testing.checks.sampler import SamplerChecks
    from plugtron.testing.checks.sampler_run import SamplerRunChecks
    from plugtron.testing.checks.tokenizer import RoundTripTokenizerChecks, TokenizerChecks
    from plugtron.testing.checks.wrapper import Answered, NativeWrapperChecks, WrapperChecks
    from plugtron.testing.host import Host
    from plugtron.testing.models import SHAPES, write_model, write_tokenizer
    from plugtron.testing.ranks import RankFailed, Ranks, run_on_ranks
    from plugtron.testing.recorder import HookRecorder
    from plugtron.testing.requests import candidates_of, request_of, sequence_of

__all__ = [
    "SHAPES",
    "Answered",
    "AttentionChecks",
    "CheckpointChecks",
    "CommandChecks",
    "ComponentChecks",
    "ControllerChecks",
    "DeterministicExecutionChecks",
    "EngineChecks",
    "ExecutionChecks",
    "GenerationChecks",
    "HookRecorder",
    "Host",
    "NativeWrapperChecks",
    "ObserverChecks",
    "ParserChecks",
    "PlainControllerChecks",
    "PluginChecks",
    "QuantizationChecks",
    "RankFailed",
    "Ranks",
    "RoundTripTokenizerChecks",
    "RouteCase",
    "RoutesChecks",
    "SamplerChecks",
    "SamplerRunChecks",
    "ServedRoutes",
    "SharedModelEngineChecks",
    "TokenizerChecks",
    "WrapperChecks",
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
    "AttentionChecks": "plugtron.testing.checks.attention",
    "CheckpointChecks": "plugtron.testing.checks.checkpoint",
    "CommandChecks": "plugtron.testing.checks.command",
    "ComponentChecks": "plugtron.testing.checks.base",
    "ControllerChecks": "plugtron.testing.checks.controller",
    "DeterministicExecutionChecks": "plugtron.testing.checks.execution",
    "EngineChecks": "plugtron.testing.checks.engine",
    "ExecutionChecks": "plugtron.testing.checks.execution",
    "HookRecorder": "plugtron.testing.recorder",
    "Host": "plugtron.testing.host",
    "NativeWrapperChecks": "plugtron.testing.checks.wrapper",
    "ObserverChecks": "plugtron.testing.checks.observer",
    "ParserChecks": "plugtron.testing.checks.parser",
    "PlainControllerChecks": "plugtron.testing.checks.controller",
    "PluginChecks": "plugtron.testing.checks.base",
    "QuantizationChecks": "plugtron.testing.checks.quantization",
    "RankFailed": "plugtron.testing.ranks",
    "Ranks": "plugtron.testing.ranks",
    "RoundTripTokenizerChecks": "plugtron.testing.checks.tokenizer",
    "RouteCase": "plugtron.testing.checks.routes",
    "RoutesChecks": "plugtron.testing.checks.routes",
    "SHAPES": "plugtron.testing.models",
    "SamplerChecks": "plugtron.testing.checks.sampler",
    "SamplerRunChecks": "plugtron.testing.checks.sampler_run",
    "ServedRoutes": "plugtron.testing.checks.routes",
    "SharedModelEngineChecks": "plugtron.testing.checks.engine",
    "TokenizerChecks": "plugtron.testing.checks.tokenizer",
    "WrapperChecks": "plugtron.testing.checks.wrapper",
    "candidates_of": "plugtron.testing.requests",
    "refuse": "plugtron.testing.checks.base",
    "request_of": "plugtron.testing.requests",
    "run_on_ranks": "plugtron.testing.ranks",
    "sequence_of": "plugtron.testing.requests",
    "write_model": "plugtron.testing.models",
    "write_tokenizer": "plugtron.testing.models",
    "Answered": "plugtron.testing.checks.wrapper",
    "GenerationChecks": "plugtron.testing.checks.generation",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
