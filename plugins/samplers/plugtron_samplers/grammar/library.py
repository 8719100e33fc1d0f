"""Grammars compiled by the llguidance library, within limits of time, memory and stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from plugtron_samplers.grammar.source import GrammarSource

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

__all__ = ["GrammarError", "check_source", "compile_source", "deep_worker", "reason"]

Result = TypeVar("Result")

_HINT = "needs the llguidance library: pip install 'plugtron[grammar]'"
#: A stack for what `grammar_limits` lets through, several times over.
_STACK = 64 * 2**20
#: Guards the size of the stacks of new threads, which is the process's.
_STACK_SETTING = threading.Lock()
#: White space between the parts of JSON: what models write, and no endless answers of nothing else.
_WHITE_SPACE = r" {1,2}|\r?\n[ \t]{0,40}"
_LONGEST_REASON = 300
#: Tokens of an answer that is tried out: what explodes does so early.
_TRIAL = 4


class GrammarError(ValueError):
    """A grammar cannot be compiled, or needs more than its limits while an answer is generated."""


def check_source(source: GrammarSource) -> None:
    """Refuse what is no grammar, as far as that can be said without a model's tokenizer.

    Raises:
        ValueError: it is none, or the library is not installed.
    """
    text = _call(lambda: _problem(source))
    if text:
        raise GrammarError(f"cannot be compiled: {reason(text)}")


def compile_source(source: GrammarSource, tokenizer: LLTokenizer) -> LLMatcher:
    """Return a matcher at the beginning of a grammar; copies of it follow answers. To be called by a `deep_worker`.

    Raises:
        GrammarError: it cannot be compiled, or takes too much already for the first tokens of some answer.
    """
    from llguidance import LLMatcher

    matcher = LLMatcher(tokenizer, _grammar(source), log_level=0, limits=_limits())
    trial = matcher.deep_copy()
    for _ in range(0 if trial.is_error() else _TRIAL):
        mask = int.from_bytes(trial.compute_bitmask(), "little")
        if trial.is_error() or trial.is_stopped():
            break
        trial.consume_token((mask & -mask).bit_length() - 1)
    if trial.is_error():
        raise GrammarError(f"{source.parameter}: cannot be compiled: {reason(trial.get_error())}")
    return matcher


def reason(text: str) -> str:
    """What the library says is wrong, on one line."""
    line = " ".join(text.partition("<non-verbose/>")[0].split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."


def deep_worker(name: str) -> ThreadPoolExecutor:
    """A thread with a stack for what is deeply nested; it ends with the executor."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    with _deep_stacks():
        worker.submit(int).result()
    return worker


def _problem(source: GrammarSource) -> str:
    try:
        from llguidance import LLMatcher
    except ModuleNotFoundError as error:
        raise GrammarError(f"{_HINT} ({error})") from None
    return LLMatcher.validate_grammar(_grammar(source), limits=_limits())


def _grammar(source: GrammarSource) -> str:
    from llguidance import LLMatcher

    if source.kind == "regex":
        return LLMatcher.grammar_from_regex(source.text)
    if source.kind == "lark":
        return LLMatcher.grammar_from_lark(source.text)
    # A schema may have options of its own for the library; these would let through what it does not describe.
    return LLMatcher.grammar_from_json_schema(
        source.text, overrides={"lenient": False, "coerce_one_of": False, "whitespace_pattern": _WHITE_SPACE}
    )


def _limits() -> LLParserLimits:
    """About a second and 100 MB for compiling, some milliseconds for a step."""
    from llguidance import LLParserLimits

    return LLParserLimits(
        initial_lexer_fuel=250_000,
        max_lexer_states=50_000,
        max_grammar_size=250_000,
        max_items_in_row=10_000,  # an object has an item for each property that it may leave out
        verbose_errors=False,
    )


def _call(work: Callable[[], Result]) -> Result:
    """Do something in a thread of its own with a deep stack, and wait for it."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    with _deep_stacks():
        threading.Thread(target=run, daemon=True).start()
    return done.result()


@contextmanager
def _deep_stacks() -> Iterator[None]:
    """Threads that are started meanwhile have deep stacks."""
    with _STACK_SETTING:
        before = threading.stack_size(_STACK)
        try:
            yield
        finally:
            threading.stack_size(before)
