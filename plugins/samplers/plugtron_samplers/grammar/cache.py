"""Compiled grammars by their content."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

from llguidance import LLMatcher, LLTokenizer

from plugtron.contracts import Tokenizer
from plugtron_samplers.grammar.library import compile_source, deep_worker
from plugtron_samplers.grammar.source import GrammarSource
from plugtron_samplers.grammar.vocabulary import vocabulary_of

__all__ = ["GrammarCache"]

_MOST = 32


class GrammarCache:
    """Compiles grammars in a thread of its own, one after the other, and keeps those that were asked for last.

    May be called from any thread.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size
        self._lock = threading.Lock()
        self._compiled: OrderedDict[GrammarSource, Future[LLMatcher]] = OrderedDict()

    def get(self, source: GrammarSource) -> Future[LLMatcher]:
        """Return a matcher at the grammar's beginning, to be copied, once it is compiled."""
        with self._lock:
            if source not in self._compiled:
                self._compiled[source] = self._worker.submit(self._compile, source)
            self._compiled.move_to_end(source)
            while len(self._compiled) > _MOST:
                self._compiled.popitem(last=False)
            return self._compiled[source]

    def compile_alone(self, source: GrammarSource) -> LLMatcher:
        """Return a matcher that shares nothing with any other, and forget the one that copies are made of.

        Copies share what their lexer has worked out, and a limit on it that all of them together may reach.

        Raises:
            GrammarError: as `compile_source`.
        """
        with self._lock:
            self._compiled.pop(source, None)
        return self._compile(source)

    def _compile(self, source: GrammarSource) -> LLMatcher:
        return compile_source(source, self._vocabulary)

    @cached_property
    def _worker(self) -> ThreadPoolExecutor:
        return deep_worker("plugtron-grammar-compiler")

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        return vocabulary_of(self.tokenizer, self.vocab_size)
