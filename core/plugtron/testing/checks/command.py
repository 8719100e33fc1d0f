"""What a verb of the command line has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import click
from click.testing import CliRunner, Result

from plugtron.errors import PlugtronError
from plugtron.plugin.component import Kind
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["CommandChecks"]

_WRONG_USE = 2


class CommandChecks(ComponentChecks):
    """Every verb passes these.

    Attributes:
        cases: arguments with which it works; {tmp} stands for an empty folder.
        wrong_cases: arguments with which it ends with an error that it explains.
    """

    kind: ClassVar[Kind] = Kind.COMMAND
    cases: ClassVar[Sequence[Sequence[str]]]
    wrong_cases: ClassVar[Sequence[Sequence[str]]] = ()

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[object]:
        """The command, or what is there in its place."""
        del model
        yield host.find(cls.kind, cls.component).load()

    def test_is_a_command(self, plugtron_subject: object) -> None:
        """The target is a click.Command."""
        if not isinstance(plugtron_subject, click.Command):
            refuse(f"its target is a {type(plugtron_subject).__name__}, not a click.Command")

    def test_helps(self, plugtron_subject: click.Command) -> None:
        """--help says what it does, and every option has a line."""
        done = CliRunner().invoke(plugtron_subject, ["--help"])
        if done.exit_code or not (plugtron_subject.help or "").strip():
            refuse("--help fails, or the command has no docstring")
        for parameter in plugtron_subject.params:
            if isinstance(parameter, click.Option) and not parameter.help and not parameter.hidden:
                refuse(f"option {parameter.opts[0]} has no help")

    def test_works(self, plugtron_subject: click.Command, tmp_path: Path) -> None:
        """With the arguments of `cases` it ends with exit code 0."""
        if not self.cases:
            refuse("cases is empty: give at least one list of arguments with which it works")
        for case in self.cases:
            done = self._invoke(plugtron_subject, case, tmp_path)
            if done.exit_code:
                refuse(
                    f"{' '.join(case)!r} ends with exit code {done.exit_code}: {done.exception or done.output.strip()}"
                )

    def test_refuses_what_is_wrong(self, plugtron_subject: click.Command, tmp_path: Path) -> None:
        """An unknown option is wrong use; what else is wrong is explained, without a traceback."""
        if self._invoke(plugtron_subject, ["--no-such-option"], tmp_path).exit_code != _WRONG_USE:
            refuse("an unknown option does not end with exit code 2")
        for case in self.wrong_cases:
            done = self._invoke(plugtron_subject, case, tmp_path)
            if done.exit_code == 0:
                refuse(f"{' '.join(case)!r} ends with exit code 0, though it is wrong")
            if done.exception is not None and not isinstance(done.exception, SystemExit | PlugtronError):
                refuse(f"{' '.join(case)!r} raises {type(done.exception).__name__}: raise a click.ClickException")
            if not done.output.strip() and not isinstance(done.exception, PlugtronError):
                refuse(f"{' '.join(case)!r} ends with exit code {done.exit_code}, and says nothing")

    @staticmethod
    def _invoke(command: click.Command, case: Sequence[str], folder: Path) -> Result:
        return CliRunner().invoke(command, [word.replace("{tmp}", str(folder)) for word in case])
