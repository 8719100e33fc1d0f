"""The command line: one module per verb, imported only when that verb is used."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

import click

from plugtron.errors import PluginError, PlugtronError, suggestion

if TYPE_CHECKING:
    from plugtron.plugin.registry import RegisteredComponent

__all__ = ["main"]

#: What only writing runs into: files that verbs write to have errors of their own.
_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EIO)
#: Verb: module and function. The list is read without importing any of them.
_VERBS = {
    "generate": ("plugtron.cli.generate:generate", "answer prompts given on the command line"),
    "chat": ("plugtron.cli.chat:chat", "talk with a model, here or behind HTTP"),
    "run": ("plugtron.cli.run:run", "run a spec and write its results as JSON lines"),
    "replay": ("plugtron.cli.replay:replay", "do a recorded run again and compare its tokens"),
    "serve": ("plugtron.cli.serve:serve", "answer over HTTP, in the form of OpenAI's API"),
    "batch": ("plugtron.cli.batch:batch", "answer a file of requests in OpenAI's batch form"),
    "score": ("plugtron.cli.score:score", "say how likely a model finds given texts"),
    "embed": ("plugtron.cli.embed:embed", "embed given texts"),
    "bench": ("plugtron.cli.bench:bench", "measure engines under a load"),
    "convert": ("plugtron.cli.convert:convert_checkpoint", "write a checkpoint as a Hugging Face folder"),
    "check": ("plugtron.cli.check:check", "check a spec without loading anything"),
    "show": ("plugtron.cli.show:show", "print a spec with every default written out"),
    "schema": ("plugtron.cli.schema:schema", "print JSON Schema for the plugins installed now"),
    "new": ("plugtron.cli.new:new", "write a package with a plugin of any kind"),
    "plugins": ("plugtron.cli.plugins:plugins", "list plugins, or show one in full"),
    "doctor": ("plugtron.cli.doctor:doctor", "look at this machine and its plugins, and say what to do"),
    "components": ("plugtron.cli.components:components", "list engines, controllers, wrappers, samplers, ..."),
    "models": ("plugtron.cli.models:models", "list the models that have a short name"),
    "cache": ("plugtron.cli.cache:cache", "list or clear what is kept on disk"),
    "fetch": ("plugtron.cli.fetch:fetch_model", "download a model and print where it is"),
}


class _Verbs(click.Group):
    """Imports a verb's module when the verb is called; the overview needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*_VERBS, *_foreign_verbs()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _VERBS:
            module, _, function = _VERBS[cmd_name][0].partition(":")
            return getattr(import_module(module), function)
        foreign = _foreign_verbs()
        if cmd_name not in foreign:
            known = [*_VERBS, *foreign]
            hint = suggestion(cmd_name, known)
            raise click.UsageError(f"no such command {cmd_name!r} (accepted: {', '.join(known)}).{hint}", ctx)
        command = foreign[cmd_name].load()
        if not isinstance(command, click.Command):
            raise PluginError(f"{foreign[cmd_name].title}: {foreign[cmd_name].component.target} is no click.Command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in _VERBS.items()])
        foreign = _foreign_verbs()
        if foreign:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, verb.component.summary) for name, verb in foreign.items()])


def _foreign_verbs() -> dict[str, RegisteredComponent]:
    """The verbs that plugins offer, under names that plugtron does not use itself; a broken plugin offers none."""
    # Imported here: plugtron's own verbs are listed and run without a look at the plugins.
    from plugtron.plugin.component import Kind
    from plugtron.plugin.manager import PluginManager

    offers = PluginManager().registry.offers(Kind.COMMAND)
    return {offer.name: offer for offer in offers if offer.name not in _VERBS}


def _print_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    del option
    if asked:
        from importlib.metadata import version

        click.echo(f"plugtron {version('plugtron')}")
        context.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    """Run trained language models from a spec file; every part is a plugin."""


def main() -> None:
    """Run the command line; errors that plugtron explains end with their exit code and without a traceback."""
    # Looking for pydantic's own plugins means a search through all distributions, a third of what `check` takes.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    warnings.showwarning = _warn
    code = _run()
    if "MASTER_ADDR" in os.environ:
        # A rank. What is left of its process group (a traceback may hold it) aborts now and then while the
        # interpreter is taken down, and the job would end with that instead of the code.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    try:
        return cli.main(standalone_mode=False) or 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except PlugtronError as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        _complain(error)
        return error.exit_code
    except OSError as error:
        if error.errno not in _UNWRITABLE or not _comes_from_echo(error):
            raise
        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        click.echo(f"standard output: cannot write: {error.strerror}", err=True)
        return 1


def _comes_from_echo(error: OSError) -> bool:
    """Whether it was click.echo that could not write; a full disk elsewhere raises the same error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code is click.echo.__code__


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say a warning in a line; where in the source it was raised is of no use here."""
    del filename, lineno, file, line
    if issubclass(category, UserWarning | RuntimeWarning):
        click.echo(f"warning: {message}", err=True)


def _complain(error: PlugtronError) -> None:
    # Under torchrun every rank raises the same error; one message is enough.
    if "MASTER_ADDR" not in os.environ or os.environ.get("RANK", "0") == "0":
        with contextlib.suppress(OSError):  # a standard error that cannot be written must not change the exit code
            click.echo(str(error), err=True)
