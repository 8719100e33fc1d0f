"""What a line that begins with a slash does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.chat.conversation import Conversation
from plugtron.chat.responder import Responder
from plugtron.chat.screen import Screen
from plugtron.errors import Problem, RequestError, suggestion
from plugtron.spec.overrides import read_value

__all__ = ["Commands"]

#: Words of a parameter's JSON Schema, as they are shown.
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


@dataclass(frozen=True, slots=True)
class _Command:
    arguments: str
    summary: str
    run: Callable[[str], None]


class Commands:
    """The commands over one conversation.

    Args:
        ask: asks once more what the user said last.
    """

    def __init__(
        self, conversation: Conversation, responder: Responder, screen: Screen, ask: Callable[[], None]
    ) -> None:
        self._conversation = conversation
        self._responder = responder
        self._screen = screen
        self._ask = ask
        self.ended = False
        self._commands = {
            "help": _Command("", "list the commands", self._help),
            "set": _Command("NAME VALUE", "set a sampling parameter for the answers to come", self._set),
            "unset": _Command("NAME", "leave it to the run again", self._unset),
            "params": _Command("[NAME]", "show what is set and can be, or one parameter in full", self._params),
            "system": _Command("[TEXT]", "set the system message, or remove it", self._system),
            "undo": _Command("", "take the last question and its answer back", self._undo),
            "retry": _Command("", "answer the last question anew", self._retry),
            "clear": _Command("", "begin anew; system message and parameters stay", self._clear),
            "tokens": _Command("", "count the tokens of the conversation", self._tokens),
            "save": _Command("FILE", "write the conversation as JSON", self._save),
            "load": _Command("FILE", "go on with a saved one", self.load),
            "exit": _Command("", "end, as Ctrl-D does", self._exit),
        }

    @property
    def words(self) -> Mapping[str, tuple[str, ...]]:
        """The commands, and what may follow each, for completion."""
        names = tuple(self._responder.parameters())
        return {f"/{name}": names if name in ("set", "unset", "params") else () for name in self._commands}

    def run(self, line: str) -> None:
        """Do what a line says, which has no slash any more.

        Raises:
            RequestError, SpecError, EngineError: it cannot be done.
        """
        name, _, argument = line.strip().partition(" ")
        command = self._commands.get(name)
        if command is None:
            hint = suggestion(name, list(self._commands))
            raise RequestError(
                f"there is no command /{name} (/help lists them; // begins a message with a slash).{hint}"
            )
        argument = argument.strip()
        if bool(argument) > bool(command.arguments) or (not argument and command.arguments[:1].isalpha()):
            raise RequestError(f"write /{name} {command.arguments}".rstrip())
        command.run(argument)

    def load(self, argument: str) -> None:
        """Go on with a saved conversation, if the run takes its parameters."""
        loaded = Conversation.load(Path(argument).expanduser())
        self._responder.check(loaded.parameters)
        self._conversation.messages, self._conversation.parameters = loaded.messages, loaded.parameters
        self._screen.note(f"{len(loaded.messages)} messages")

    def _help(self, argument: str) -> None:
        del argument
        shown = {f"/{name} {command.arguments}": command.summary for name, command in self._commands.items()}
        width = max(map(len, shown))
        self._screen.say("\n".join(f"{usage:{width}}  {summary}" for usage, summary in shown.items()))
        self._screen.note("Alt+Enter, or Esc and Enter, begins a new line. Ctrl-C ends an answer, Ctrl-D the program.")

    def _set(self, argument: str) -> None:
        name, _, text = argument.partition(" ")
        if not text:
            raise RequestError("write /set NAME VALUE")
        value = read_value(text, Problem(name, f"the value {text!r} is not YAML"))
        if value is None:
            raise RequestError(f"{name}: null is no value: /unset {name} leaves it to the run")
        parameters = {**self._conversation.parameters, name: value}
        self._responder.check(parameters)
        self._conversation.parameters = parameters
        self._screen.note(f"{name}: {value}")

    def _unset(self, argument: str) -> None:
        if argument not in self._conversation.parameters:
            known = ", ".join(self._conversation.parameters) or "nothing"
            raise RequestError(f"{argument}: is not set (set: {known})")
        del self._conversation.parameters[argument]

    def _params(self, argument: str) -> None:
        known, own = self._responder.parameters(), self._conversation.parameters
        if argument:
            if argument not in known:
                raise RequestError(f"{argument}: nothing is known of it.{suggestion(argument, list(known))}")
            self._screen.say(_described(argument, known[argument]))
            return
        for name, value in own.items():
            self._screen.say(f"{name}: {value}")
        rest = {name: declared.get("default") for name, declared in known.items() if name not in own}
        for name, value in rest.items():
            if value is not None:
                self._screen.say(f"{name}: {value} (by default)")
        others = [name for name, value in rest.items() if value is None]
        if others:
            self._screen.say(f"not set: {', '.join(others)}")

    def _system(self, argument: str) -> None:
        self._conversation.set_system(argument or None)

    def _undo(self, argument: str) -> None:
        del argument
        self._conversation.take_back_question()

    def _retry(self, argument: str) -> None:
        del argument
        self._conversation.take_back_answer()
        self._ask()

    def _clear(self, argument: str) -> None:
        del argument
        self._conversation.clear()

    def _tokens(self, argument: str) -> None:
        del argument
        context = self._responder.context(self._conversation.messages)
        limit = "" if context.limit is None else f" of {context.limit}"
        self._screen.say(f"{context.tokens}{limit} tokens in {len(self._conversation.messages)} messages")

    def _save(self, argument: str) -> None:
        file = Path(argument).expanduser()
        self._conversation.save(file, self._responder.model)
        self._screen.note(f"{file} written")

    def _exit(self, argument: str) -> None:
        del argument
        self.ended = True


def _described(name: str, declared: Mapping[str, Any]) -> str:
    """A parameter with what its declaration says of it."""
    facts = [f"{word} {declared[key]}" for key, word in _BOUNDS.items() if key in declared]
    if "enum" in declared:
        facts.append("one of " + ", ".join(map(str, declared["enum"])))
    if declared.get("default", declared.get("unset")) is not None:
        facts.append(f"default {declared.get('default', declared.get('unset'))}")
    return f"{name}: {declared.get('description', 'not described')}" + (f" ({', '.join(facts)})" if facts else "")
