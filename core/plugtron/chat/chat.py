"""A conversation, line by line: what a user says is answered, and what begins with a slash is done."""

from __future__ import annotations

from collections.abc import Iterable

from plugtron.chat.commands import Commands
from plugtron.chat.conversation import Conversation
from plugtron.chat.responder import Figures, Responder
from plugtron.chat.screen import Screen
from plugtron.contracts.parser import AnswerDelta, ParsedAnswer
from plugtron.errors import EngineError, RequestError, SpecError

__all__ = ["Chat"]


class Chat:
    """Runs a conversation.

    Args:
        survives: whether Ctrl-C ends the answer alone, and not the program.
    """

    def __init__(self, responder: Responder, conversation: Conversation, screen: Screen, *, survives: bool) -> None:
        self._responder = responder
        self._conversation = conversation
        self._screen = screen
        self._survives = survives
        self.commands = Commands(conversation, responder, screen, self._answer)

    def run(self, lines: Iterable[str]) -> bool:
        """Take lines up to /exit or their end; say whether all could be done.

        Raises:
            OutputError: standard output was closed.
            ParallelError: the model's ranks have been lost.
        """
        good = True
        for line in lines:
            try:
                self._take(line)
            except KeyboardInterrupt:
                if not self._survives:
                    raise
            except (RequestError, SpecError, EngineError) as error:
                self._screen.error(str(error))
                good = False
            if self.commands.ended:
                break
        return good

    def _take(self, line: str) -> None:
        if not line.strip():
            return
        if line.startswith("/") and not line.startswith("//"):
            self.commands.run(line[1:])
            return
        self._conversation.ask(line.removeprefix("/"))
        self._answer()

    def _answer(self) -> None:
        """Answer the last question. What was said before Ctrl-C stays; a question that got nothing is taken back."""
        deltas: list[AnswerDelta] = []
        figures = ""
        try:
            for piece in self._responder.answer(self._conversation.messages, self._conversation.parameters):
                if isinstance(piece, Figures):
                    figures = piece.line()
                else:
                    deltas.append(piece)
                    self._screen.show(piece)
        except KeyboardInterrupt:
            figures = "interrupted"
            raise
        finally:
            if deltas or figures:
                self._screen.end(figures)
            message = {name: value for name, value in ParsedAnswer.of(deltas).to_message().items() if value is not None}
            if deltas or (figures and figures != "interrupted"):
                self._conversation.messages.append(message)
            else:
                self._conversation.take_back_question()
