"""The hooks that a plugin may implement. This page is the menu; each entry carries an example.

A plugin is a module (or object) named by an entry point of the group "plugtron":

    [project.entry-points.plugtron]
    acme = "acme_samplers"

Its functions marked with `plugtron.hookimpl` are the hooks it implements. It may say `PLUGTRON_API = 1`, the
least API it was written for, or `(1, 2)`, the least and the greatest. Hooks run at registration, once a run, once a
request, or, for observers that ask for it, once a step; never per token or layer. What they print goes to standard
error: standard output is for results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

from plugtron.errors import Problem
from plugtron.plugin.component import Component, Kind

if TYPE_CHECKING:
    from plugtron.plugin.checked_spec import CheckedSpec
    from plugtron.plugin.options import Options
    from plugtron.plugin.run_info import Outcome, RunInfo
    from plugtron.request.request import InferenceRequest

__all__ = ["PROJECT", "REGISTRATION_HOOKS", "hookimpl"]

#: Entry-point group, pluggy project, prefix of hooks and (upper-cased) of environment variables.
PROJECT = "plugtron"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: The hook that offers components of each kind.
REGISTRATION_HOOKS: dict[Kind, str] = {
    Kind.ENGINE: "plugtron_engines",
    Kind.CONTROLLER: "plugtron_controllers",
    Kind.WRAPPER: "plugtron_wrappers",
    Kind.SAMPLER: "plugtron_samplers",
    Kind.TOKENIZER: "plugtron_tokenizers",
    Kind.CHECKPOINT: "plugtron_checkpoints",
    Kind.EXECUTION: "plugtron_executions",
    Kind.QUANTIZATION: "plugtron_quantizations",
    Kind.ATTENTION: "plugtron_attentions",
    Kind.COMMAND: "plugtron_commands",
    Kind.PARSER: "plugtron_parsers",
    Kind.ROUTES: "plugtron_routes",
}

# ---------------------------------------------------------------------------------------------------------------------
# Registration: what a plugin offers. Called once, when the host starts. Return [] for nothing.
# ---------------------------------------------------------------------------------------------------------------------


@hookspec
def plugtron_engines() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer engines: they decide which requests run when.

    @plugtron.hookimpl
    def plugtron_engines():
        return [Component(name="acme", target="acme_engine.engine:AcmeEngine", needs={Need.CONTROLLER})]
    """


@hookspec
def plugtron_controllers() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer controllers: they turn the logits of one step into text.

    @plugtron.hookimpl
    def plugtron_controllers():
        return [Component(name="beams", target="acme.beams:BeamController", needs={Need.WRAPPER})]
    """


@hookspec
def plugtron_wrappers() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer model wrappers: they turn tokens into logits. `provides` names the architectures for `wrapper: auto`.

    @plugtron.hookimpl
    def plugtron_wrappers():
        return [Component(name="acme", target="acme.model:AcmeWrapper", needs={Need.CHECKPOINT},
                          provides={"huggingface/AcmeForCausalLM"})]
    """


@hookspec
def plugtron_samplers() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer samplers: they map the candidates of a draw to candidates. `params` are fields of each request.

    @plugtron.hookimpl
    def plugtron_samplers():
        return [Component(name="acme_ban", target="acme.ban:Ban", params=BanParams)]
    """


@hookspec
def plugtron_tokenizers() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer tokenizers: text to ids and back. `provides` names the checkpoint formats for `tokenizer: auto`.

    @plugtron.hookimpl
    def plugtron_tokenizers():
        return [Component(name="runes", target="acme.runes:RuneTokenizer")]
    """


@hookspec
def plugtron_checkpoints() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer checkpoint readers: from a path to tensors. The target module must import without torch.

    @plugtron.hookimpl
    def plugtron_checkpoints():
        return [Component(name="npz", target="acme.npz:NpzReader")]
    """


@hookspec
def plugtron_executions() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer executions: they run a decoder's steps, over weights that they load in their own form.

    @plugtron.hookimpl
    def plugtron_executions():
        return [Component(name="acme", target="acme.execution:AcmeBackend")]
    """


@hookspec
def plugtron_quantizations() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer quantization methods: they say which weights are held in which form, for every execution.

    @plugtron.hookimpl
    def plugtron_quantizations():
        return [Component(name="acme_int3", target="acme.int3:Int3")]
    """


@hookspec
def plugtron_attentions() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer attention over KV memory, for steps that torch runs.

    @plugtron.hookimpl
    def plugtron_attentions():
        return [Component(name="acme", target="acme.attention:AcmeAttention")]
    """


@hookspec
def plugtron_commands() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer verbs of the command line; the target is a click.Command.

    @plugtron.hookimpl
    def plugtron_commands():
        return [Component(name="perplexity", target="acme.perplexity:command", summary="measure a text's perplexity")]
    """


@hookspec
def plugtron_parsers() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer parsers of answers: content, reasoning and tool calls, as a family of models writes them.

    @plugtron.hookimpl
    def plugtron_parsers():
        return [Component(name="acme", target="acme.parser:AcmeParser")]
    """


@hookspec
def plugtron_routes() -> Iterable[Component]:  # pyright: ignore[reportReturnType] - a spec has no body
    """Offer endpoints of `plugtron serve`, or middleware around them.

    @plugtron.hookimpl
    def plugtron_routes():
        return [Component(name="acme", target="acme.routes:AcmeRoutes")]
    """


# ---------------------------------------------------------------------------------------------------------------------
# Checks and observers: called for each plugin on its own; one that raises is reported and the run goes on.
# ---------------------------------------------------------------------------------------------------------------------


@hookspec
def plugtron_check_spec(spec: CheckedSpec) -> Iterable[Problem]:  # pyright: ignore[reportReturnType] - no body
    """Complain about a combination of parts, after each part's own options are valid and before anything is built.

    @plugtron.hookimpl
    def plugtron_check_spec(spec):
        if spec.uses("sampler", "acme_ban") and spec.settings["parallel"]["tensor"] > 1:
            return [Problem("samplers", "acme_ban runs on one rank only")]
        return []
    """


@hookspec
def plugtron_run_started(run: RunInfo, options: Options | None) -> None:
    """Observe, on rank 0, that all parts are built and generation begins.

    `options`, here and below, are what the spec says under plugins.options for this plugin, as its PLUGTRON_OPTIONS
    (a subclass of plugtron.Options) has them; None where it declares none.

    @plugtron.hookimpl
    def plugtron_run_started(run):
        print(f"{run.model} on {run.world_size} ranks")
    """


@hookspec
def plugtron_request_finished(request: InferenceRequest, options: Options | None) -> None:
    """Observe, on rank 0, a request that has finished, well or not. It is a copy of the request as it is then.

    @plugtron.hookimpl
    def plugtron_request_finished(request):
        print(request.index, request.finish_reason)
    """


@hookspec
def plugtron_step_finished(stats: Mapping[str, float], options: Options | None) -> None:
    """Observe, on rank 0, that the engine has done a step; `stats` are the fields of its EngineStats, if it has any.

    @plugtron.hookimpl
    def plugtron_step_finished(stats):
        print(f"{stats['running']} running, {stats['waiting']} waiting")
    """


@hookspec
def plugtron_run_finished(run: RunInfo, outcome: Outcome, options: Options | None) -> None:
    """Observe, on rank 0, the end of a run.

    @plugtron.hookimpl
    def plugtron_run_finished(run, outcome):
        print(f"{outcome.finished} finished, {outcome.failed} failed, {outcome.stats.get('steps')} steps")
    """
