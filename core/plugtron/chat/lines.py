"""What is said: from a prompt in a terminal, with a history, or from a file, a line each."""

from __future__ import annotations

import os
import termios
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from plugtron.errors import RequestError
from plugtron.utils.private_files import derived_directory

__all__ = ["file_lines", "history_file", "terminal_lines"]

_HISTORY = "chat_history"


def file_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file.

    Raises:
        RequestError: it is no text.
    """
    try:
        for line in file:
            yield line.removesuffix("\n")
    except UnicodeDecodeError:
        raise RequestError("standard input is not UTF-8 text") from None


def history_file() -> Path | None:
    """Where what was said is kept, for its owner alone; made where it is not. None, with a warning, where it cannot."""
    file = derived_directory() / _HISTORY
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        warnings.warn(f"{file}: {error.strerror}: what is said is not kept for the next time", stacklevel=2)
        return None
    return file


def terminal_lines(output: TextIO, history: Path | None, words: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Ask at a terminal until Ctrl-D. Ctrl-C empties the line. Pasted text is one message, however many lines it has.

    Args:
        output: the terminal.
        history: where what was said is kept; None: nowhere.
        words: commands, and what may follow each, for completion with Tab.
    """
    # Imported here: scripts need none of it.
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import NestedCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import create_output

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    follow = {word: dict.fromkeys(after) if after else None for word, after in words.items()}
    session: PromptSession[str] = PromptSession(
        output=create_output(stdout=output),
        history=InMemoryHistory() if history is None else FileHistory(str(history)),
        completer=NestedCompleter.from_nested_dict(follow),
        complete_while_typing=False,
        key_bindings=keys,
        multiline=True,
        prompt_continuation="  ",
    )
    with _kept_keys(0):
        while True:
            try:
                yield session.prompt("> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return


@contextmanager
def _kept_keys(descriptor: int) -> Iterator[None]:
    """Keep what is typed between two prompts for the next one, as it is typed, and out of what is shown."""
    before = termios.tcgetattr(descriptor)
    kept = termios.tcgetattr(descriptor)
    kept[0] &= ~termios.ICRNL
    kept[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, kept)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
