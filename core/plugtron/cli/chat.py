"""plugtron chat"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from plugtron.cli.common import (
    DEFAULT_MODEL,
    PluginChoice,
    plugin_options,
    sampling_options,
    set_option,
    stats_option,
    verbose_option,
)
from plugtron.cli.serving import checkpoint_name, lead, spec_or_model, with_overrides
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import StandardOutput, kept_stdout
from plugtron.errors import PluginError

if TYPE_CHECKING:
    from plugtron.chat.responder import Responder
    from plugtron.parallel.world import World

__all__ = ["chat"]

#: Options of the one way and of the other, as they are written.
_OF_SERVERS: Mapping[str, str] = MappingProxyType({"api_key": "--api-key"})
_OF_MODELS: Mapping[str, str] = MappingProxyType(
    {"overrides": "--set", "plugin_files": "--plugin", "no_plugins": "--no-plugins", "no_plugin": "--no-plugin"}
)


@click.command()
@click.argument("model", metavar="[SPEC|MODEL]", required=False)
@click.option("--url", help="A server of OpenAI's form to ask, in the place of a model here; MODEL is its name there.")
@click.option("--api-key", envvar="PLUGTRON_API_KEY", help="What the server wants to see; better in the variable.")
@click.option("--load", metavar="FILE", help="Go on with a conversation that /save has written.")
@click.option("--system", metavar="TEXT", help="The system message.")
@click.option("--max-tokens", type=int, help="Tokens per answer; by default to the end of the context.")
@sampling_options
@stats_option
@set_option
@plugin_options
@verbose_option
@click.pass_context
def chat(
    context: click.Context,
    model: str | None,
    url: str | None,
    api_key: str | None,
    load: str | None,
    system: str | None,
    stats: bool,
    overrides: tuple[str, ...],
    choice: PluginChoice,
    **sampling: Any,
) -> None:
    """Talk with a model, by default smollm2-135m-instruct. /help lists what can be done.

    Without a terminal each line of standard input is answered on standard output.
    """
    foreign = _OF_SERVERS if url is None else _OF_MODELS
    for name, option in foreign.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option}: is for {'--url' if url is None else 'models that run here, not --url'}")
    parameters = {name: value for name, value in sampling.items() if value is not None}
    with kept_stdout() as stdout:
        interactive = stdout.is_terminal and os.isatty(0)
        if interactive and find_spec("prompt_toolkit") is None:
            raise PluginError("chat needs prompt_toolkit, which is not installed: pip install 'plugtron[chat]'")

        def talk(responder: Responder) -> int:
            return _talk(responder, stdout, parameters, interactive=interactive, load=load, system=system, stats=stats)

        if url is not None:
            from plugtron.chat.http_api import HttpApi
            from plugtron.chat.remote import RemoteResponder

            sys.exit(talk(RemoteResponder(HttpApi(url, api_key), model)))
        sys.exit(_with_model(model or DEFAULT_MODEL, overrides, choice, talk))


def _with_model(model: str, overrides: tuple[str, ...], choice: PluginChoice, talk: Callable[[Responder], int]) -> int:
    source = with_overrides(spec_or_model(model), overrides)
    sampling = source.values.setdefault("sampling", {})
    if isinstance(sampling, dict):  # what else it may be, resolving refuses
        sampling.setdefault("max_tokens", -1)
    resolved, manager = resolve_source(source, choice)

    def work(world: World | None) -> int:
        from plugtron.assembly import assemble
        from plugtron.chat.local import LocalResponder
        from plugtron.utils.progress import spinner

        with spinner(f"loading {resolved.spec.model.checkpoint}"):
            session = assemble(resolved, manager=manager, world=world)
        with session:
            return talk(LocalResponder(session, checkpoint_name(resolved)))

    return lead(resolved, manager, work)


def _talk(
    responder: Responder,
    stdout: StandardOutput,
    parameters: Mapping[str, Any],
    *,
    interactive: bool,
    load: str | None,
    system: str | None,
    stats: bool,
) -> int:
    """Have the conversation; return the exit code: of a script 1 where something could not be done."""
    from plugtron.chat.chat import Chat
    from plugtron.chat.conversation import Conversation
    from plugtron.chat.lines import file_lines, history_file, terminal_lines
    from plugtron.chat.screen import PlainScreen, TerminalScreen

    screen = TerminalScreen(stdout.write) if interactive else PlainScreen(stdout.write, stats=stats)
    conversation = Conversation()
    talk = Chat(responder, conversation, screen, survives=interactive)
    if load is not None:
        talk.commands.load(load)
    conversation.parameters |= parameters
    responder.check(conversation.parameters)
    if system is not None:
        conversation.set_system(system)
    if not interactive:
        return 0 if talk.run(file_lines(sys.stdin)) else 1
    screen.note(f"{responder.model}; /help lists the commands")
    with os.fdopen(os.dup(stdout.file_descriptor()), "w") as terminal:
        talk.run(terminal_lines(terminal, history_file(), talk.commands.words))
    return 0
