"""A tokenizer's vocabulary as the llguidance library takes it."""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLTokenizer, TokenizerWrapper

from plugtron.contracts import Tokenizer

__all__ = ["vocabulary_of"]


def vocabulary_of(tokenizer: Tokenizer, vocab_size: int) -> LLTokenizer:
    """Return the vocabulary of a model, from the bytes of its tokens.

    The end of an answer is an id of its own behind the others, `vocab_size`: what stands for it is each request's, and
    the model's own ends are tokens that a grammar can name. Ids without a token are never allowed.
    """
    special = sorted({token for token in range(vocab_size) if tokenizer.is_special(token)} | set(tokenizer.eos_ids))
    return LLTokenizer(
        TokenizerWrapper(_Vocabulary(tokenizer, vocab_size, [token for token in special if token < vocab_size])),
        eos_token=vocab_size,
    )


class _Vocabulary:
    """What the library reads: bytes by id, special ids, and how a text is cut into tokens."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, special: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        known = min(vocab_size, tokenizer.vocab_size)
        tokens = [tokenizer.token_bytes(token) for token in range(known)] + [b""] * (vocab_size - known)
        self.tokens = [*tokens, b"<end of the answer>"]
        self.special_token_ids = [*special, vocab_size]
        self.eos_token_id = vocab_size
        self.bos_token_id = None
        self._longest = max(map(len, tokens), default=0)
        self._ids = {spelled: token for token, spelled in enumerate(tokens) if spelled and token not in set(special)}

    def __call__(self, text: str) -> list[int]:
        """Cut a text that must come as the model would; where its tokens spell another text, the longest ones."""
        ids = self._tokenizer.encode(text, add_special=False)
        known = all(token < len(self.tokens) - 1 for token in ids)
        spelled = text.encode()
        if known and b"".join(self.tokens[token] for token in ids) == spelled:
            return ids
        return self._greedy(spelled)

    def _greedy(self, spelled: bytes) -> list[int]:
        ids: list[int] = []
        start = 0
        while start < len(spelled):
            ends = range(min(len(spelled), start + self._longest), start, -1)
            end = next((end for end in ends if spelled[start:end] in self._ids), None)
            if end is None:
                break  # no token begins so: what has been cut is all that can come
            ids.append(self._ids[spelled[start:end]])
            start = end
        return ids
