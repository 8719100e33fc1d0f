"""A Jinja environment for templates that strangers wrote: they compute text, and only so much of it.

jinja2's sandbox keeps a template from Python's internals, and bounds neither time nor memory: nested loops, doubled
strings and `'x' * 3000000000` stop the process that renders them. Here every operation is paid for from a budget, in
units that do not depend on the machine, so that all ranks of a job fail alike; the limit on the clock is for the rest.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sized
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

__all__ = ["TemplateEnvironment", "TooMuchWork", "refused"]

#: What a rendering may cost: a unit for each character that is made, _ENTRY for each entry of a list, and _STEP for
#: each pass of a loop, call and filter.
_BUDGET, _ENTRY, _STEP = 256 * 2**20, 8, 256
#: The most that one operation may make, the widest padding, the largest count, and seconds on the clock.
_LARGEST, _WIDEST, _COUNT, _SECONDS = 16 * 2**20, 10_000, 100_000, 5.0
_WIDTH = re.compile(r"[%:][^%{}a-zA-Z]*?(\d{5,}|\*)|:[^{}]*\{")


class TooMuchWork(TemplateError):
    """A template asks for more operations, text or time than any chat needs."""


class _Budget:
    def __init__(self) -> None:
        self._left = _BUDGET
        self._end = time.monotonic() + _SECONDS

    def spend(self, amount: int = 0) -> None:
        self._left -= _STEP + amount
        if self._left < 0 or amount > _LARGEST:
            raise TooMuchWork("it computes more than a chat template may")
        if time.monotonic() > self._end:
            raise TooMuchWork(f"it takes more than {_SECONDS:.0f} seconds")


class _Counted(Extension):
    """`{% generation %}`, and the calls that are put into a template: one for each pass of a loop and each `~`."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it
    environment: TemplateEnvironment

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The assistant's part, which training marks; here it is its content."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def step(self) -> None:
        """Pay for a pass of a loop, or a call of a macro."""
        self.environment.budget.spend()

    def concatenate(self, *parts: Any) -> str:
        """What `~` does."""
        texts = [str(part) for part in parts]
        self.environment.budget.spend(sum(map(len, texts)))
        return "".join(texts)


class _Instrument(NodeTransformer):
    """Puts the calls of `_Counted` into a template."""

    def __init__(self, counted: _Counted) -> None:
        self._counted = counted

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.Concat):
            call = self._counted.call_method("concatenate", node.nodes)
            return call.set_lineno(node.lineno)
        if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
            step = nodes.ExprStmt(self._counted.call_method("step")).set_lineno(node.lineno)
            node.body.insert(0, step)
        return node


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Renders one template once.

    Raises:
        TemplateError: from `render`; whatever else goes wrong in a template stays what it is.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%", "//", "/", "-"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Counted], optimized=False)
        self.budget = _Budget()
        self.filters = {name: self._paid(name, function) for name, function in self.filters.items()}
        self.filters["tojson"] = self._paid("tojson", _to_json)
        self.globals["raise_exception"] = _raise
        self.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        del self.globals["lipsum"], self.filters["urlize"], self.filters["pprint"]

    def render_text(self, source: str, variables: Mapping[str, Any]) -> str:
        """Render a template.

        Raises:
            TooMuchWork: it computes more than a chat template may.
            TemplateError: it is no template, or refuses what it is given.
        """
        self.budget.spend(len(source))
        tree = _Instrument(self._counted()).visit(self.parse(source))
        template = Template.from_code(self, self.compile(tree), self.make_globals(None), None)
        pieces = []
        for piece in template.generate(dict(variables)):
            self.budget.spend(len(piece))
            pieces.append(piece)
        return "".join(pieces)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute an operation, unless its result would be too large."""
        del context
        self.budget.spend(_result_size(operator, left, right))
        return self.binop_table[operator](left, right)

    def call(self, /, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls, unless it would make too much of its arguments."""
        _check_arguments(getattr(obj, "__self__", None), getattr(obj, "__name__", ""), args, kwargs)
        self.budget.spend(_call_size(obj, args))
        result = super().call(context, obj, *args, **kwargs)
        self.budget.spend(_size(result))
        return result

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`'...'.format`, as jinja2 guards it, with a look at the widths that it asks for."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def _counted(self) -> _Counted:
        return next(extension for extension in self.extensions.values() if isinstance(extension, _Counted))

    def _paid(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter whose arguments and result are looked at."""
        # What jinja2 hands to a filter before the value, as its decorators say.
        passed = int(hasattr(function, "jinja_pass_arg"))

        @wraps(function)
        def paid(*args: Any, **kwargs: Any) -> Any:
            subject, rest = args[passed] if len(args) > passed else None, args[passed + 1 :]
            _check_arguments(subject, name, rest, kwargs)
            self.budget.spend(_filter_size(name, subject, rest))
            result = function(*args, **kwargs)
            self.budget.spend(_size(result))
            return result

        return paid


def _size(value: Any) -> int:
    """What a value costs to make, or to go through."""
    if isinstance(value, str | bytes):
        return len(value)
    return _ENTRY * len(value) if isinstance(value, Sized) else 0


def _result_size(operator: str, left: Any, right: Any) -> int:
    """How large a result becomes: entries, characters, or the bits of a number."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * (max(right, 0) if operator == "**" else 1) + right.bit_length()
        return bits if bits < _WIDEST else _LARGEST + 1
    if operator == "*":
        count = next((side for side in (left, right) if isinstance(side, int)), 1)
        return max(_size(left), _size(right)) * max(count, 0)
    if operator == "%" and isinstance(left, str):
        _check_format(left)
    return _size(left) + _size(right)


def _check_format(text: str) -> None:
    if _WIDTH.search(text):
        raise TooMuchWork("it formats a text of thousands of characters")


def _check_arguments(subject: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    largest = 100 if name == "tojson" else _WIDEST if isinstance(subject, str) else _COUNT
    for value in () if name in ("range", "format", "raise_exception") else (*args, *kwargs.values()):
        if isinstance(value, int) and abs(value) > largest:
            raise TooMuchWork(f"{name} by {value}")
    if name in ("format", "format_map") and isinstance(subject, str):
        _check_format(subject)


def _call_size(function: Any, args: tuple[Any, ...]) -> int:
    """What a call is going to make, where that can be far more than it is given."""
    return _filter_size(getattr(function, "__name__", ""), getattr(function, "__self__", None), args)


def _filter_size(name: str, subject: Any, args: tuple[Any, ...]) -> int:
    if name == "replace" and isinstance(subject, str) and len(args) >= 2:
        old, new = str(args[0]), str(args[1])
        return len(subject) + subject.count(old) * len(new)
    if name == "join" and args:  # a text's method has the parts as its argument, the filter the separator
        separator, parts = (subject, args[0]) if isinstance(subject, str) else (args[0], subject)
        if isinstance(parts, list | tuple):
            return sum(_size(part) + _size(separator) for part in parts)
    if name == "indent" and isinstance(subject, str):
        return len(subject) + (subject.count("\n") + 1) * _WIDEST // 100
    if name in ("length", "count", "first", "last", "default", "d", "get", "items", "keys", "values"):
        return 0
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
        return _WIDEST + _size(subject)
    return _size(subject)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: no character is escaped for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def refused(error: Exception) -> str:
    """Say in a line why a template could not be rendered."""
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    if isinstance(error, SecurityError):
        return f"it reaches for what it must not: {error}"
    return str(error) or type(error).__name__
