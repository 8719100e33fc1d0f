"""Parsers that are wrong, each in a way of its own."""

from offered import offered

from plugtron import Component, hookimpl
from plugtron.contracts import CallBegun, ContentDelta, ParsedAnswer, Parser, ToolCall
from plugtron.parsing import Call, MarkedParser, Read

OPEN, CLOSE = "<call>", "</call>"
TEMPLATES = (f"{{{{ message.content }}}}{OPEN}{{{{ tool_call }}}}{CLOSE}",)
ANSWERS = {
    f"<think>So.</think>Yes. {OPEN}look_up {{}}{CLOSE}{OPEN}look_up {{}}{CLOSE}": ParsedAnswer(
        "Yes.", "So.", (ToolCall("look_up", "{}", "first"), ToolCall("look_up", "{}", "second"))
    ),
    "No <b>.": ParsedAnswer("No <b>.", "", ()),
}


class Right(MarkedParser):
    """A name and JSON between two marks."""

    call_marks = (OPEN,)

    @classmethod
    def recognizes(cls, template):
        return OPEN in template

    def read_call(self, text, *, ended):
        body, closing, _ = text.removeprefix(OPEN).partition(CLOSE)
        if not closing:
            return None
        name, _, arguments = body.partition(" ")
        length = len(OPEN) + len(body) + len(CLOSE)
        return Read(length, self.calls(name, arguments) if arguments == "{}" else ())

    def calls(self, name, arguments):
        return (Call(name, arguments),)


class KnowsNone(Right):
    @classmethod
    def recognizes(cls, template):
        return "<tool>" in template


class KnowsAll(Right):
    """Takes every template that has messages for its own."""

    @classmethod
    def recognizes(cls, template):
        return OPEN in template or "message" in template


class ForgetsReasoning(Right):
    reasoning = None


class OneId(Right):
    def calls(self, name, arguments):
        return (Call(name, arguments, "call_0"),)


class NoArguments(Right):
    """Leaves out arguments where there are none; who reads them cannot load an empty text."""

    def calls(self, name, arguments):
        return (Call(name, ""),)


class HoldsNothingBack(Right):
    """Says at once what may be the beginning of a mark."""

    def _uncertain(self):
        return 0


class StripsPieces(Right):
    def push(self, text):
        return super().push(text.strip() or text)


class LoadsEverything(Right):
    def read_call(self, text, *, ended):
        if ended:
            raise ValueError("a call has no end")
        return super().read_call(text, ended=ended)


class NeedsTools(Right):
    def __init__(self, tools, prompt):
        super().__init__(tools, prompt)
        self.first = tools[0]


class Strips(Right):
    """Takes the white space around an answer away."""

    def finish(self):
        self._space = ""
        return super().finish()


class CountsFromOne(Right):
    def __init__(self, tools, prompt):
        super().__init__(tools, prompt)
        self._numbers.count = 1


class BeginsLate(Right):
    """Hands out arguments before their call has begun."""

    def push(self, text):
        return sorted(super().push(text), key=lambda delta: isinstance(delta, CallBegun))


class EmptyDeltas(Right):
    def push(self, text):
        return [ContentDelta(""), *super().push(text)]


_TEXT = []


class OneBuffer(Parser):
    """All parsers write into one text."""

    def __init__(self, tools, prompt):
        self.inner = Right(tools, prompt)
        _TEXT.clear()

    @classmethod
    def recognizes(cls, template):
        return OPEN in template

    def push(self, text):
        _TEXT.append(text)
        return []

    def finish(self):
        deltas = [*self.inner.push("".join(_TEXT)), *self.inner.finish()]
        _TEXT.clear()
        return deltas


NAMES = {name: value for name, value in offered(globals(), Parser).items() if value != "MarkedParser"}


@hookimpl
def plugtron_parsers():
    return [Component(name=name, target=f"{__name__}:{value}", summary="wrong") for name, value in NAMES.items()]
