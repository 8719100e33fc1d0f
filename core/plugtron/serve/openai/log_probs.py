"""Log probabilities in the two forms that OpenAI's API has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.request.request import LogProbs
from plugtron.serve.openai.text_places import TextPlaces

__all__ = ["chat_log_probs", "completion_log_probs"]


def chat_log_probs(entries: Sequence[LogProbs], tokenizer: Tokenizer | None) -> dict[str, Any]:
    """As chat completions have them."""

    def entry(token: int, value: float, texts: dict[int, str]) -> dict[str, Any]:
        raw = None if tokenizer is None else list(tokenizer.token_bytes(token))
        return {"token": texts.get(token, f"token_id:{token}"), "logprob": value, "bytes": raw}

    return {
        "content": [
            {
                **entry(each.token, each.value, each.texts),
                "top_logprobs": [entry(token, value, each.texts) for token, value in each.top.items()],
            }
            for each in entries
        ]
    }


def completion_log_probs(
    entries: Sequence[LogProbs | None], unreported: Sequence[tuple[int, str]], places: TextPlaces
) -> dict[str, Any]:
    """As completions have them.

    Args:
        entries: of the tokens in order; None for one that follows nothing.
        unreported: the tokens whose entry is None, in order, and their texts.
        places: of all tokens before; the entries' are added.
    """
    others = iter(unreported)
    tokens = [next(others) if each is None else (each.token, each.text or f"token_id:{each.token}") for each in entries]
    return {
        "tokens": [text for _, text in tokens],
        "token_logprobs": [None if each is None else each.value for each in entries],
        "top_logprobs": [
            None
            if each is None
            else {each.texts.get(token, f"token_id:{token}"): value for token, value in each.top.items()}
            for each in entries
        ],
        "text_offset": [places.add(token, text) for token, text in tokens],
    }
