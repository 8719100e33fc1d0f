"""What llama.cpp's server is asked for a sequence, and what it answers."""

from __future__ import annotations

from typing import Any

from plugtron.engine import Generated
from plugtron.request import InferenceSequence, LogProbs

__all__ = ["ask", "read"]

#: plugtron's order. What the request leaves out is given its neutral value: llama.cpp's own defaults are others.
_SAMPLERS = ["penalties", "temperature", "min_p", "top_k", "top_p"]
#: llama.cpp's word for a random seed, which no seed may become.
_RANDOM = 2**32 - 1


def ask(sequence: InferenceSequence, count: int) -> dict[str, Any]:
    """Ask for the next tokens of a sequence, as many as `count`."""
    params = sequence.request.params
    temperature = 1.0 if params.temperature is None else params.temperature
    return {
        "prompt": sequence.all_tokens,
        "n_predict": count,
        "return_tokens": True,
        # What was computed for the last call is still in a slot's memory, which the server finds: only what is new is
        # computed. No slot is asked for: a call for one that is busy was seen to wait for ever.
        "cache_prompt": True,
        "n_probs": 0 if params.logprobs is None else max(1, params.logprobs),
        "samplers": _SAMPLERS,
        "seed": _seed(sequence),
        "temperature": temperature,
        "top_k": max(0, params.top_k or 0),
        "top_p": params.top_p or 1.0,
        "min_p": params.min_p or 0.0,
        "repeat_penalty": params.repetition_penalty or 1.0,
        "repeat_last_n": sequence.length + count,
        # To llama.cpp false is minus infinity, which JSON has no number for.
        "logit_bias": [
            [token, False if bias == float("-inf") else bias] for token, bias in (params.logit_bias or {}).items()
        ],
    }


def _seed(sequence: InferenceSequence) -> int:
    """Another one for each call: one that begins at the same place with the same draws would repeat itself."""
    return ((sequence.seed ^ (sequence.seed >> 32)) + len(sequence.tokens) * 0x9E3779B1) % _RANDOM


def read(sequence: InferenceSequence, reply: dict[str, Any]) -> Generated:
    """Read the tokens, and their log probabilities, which llama.cpp has for whole characters only."""
    if "error" in reply:
        return Generated(sequence=sequence, error=f"llama.cpp: {reply['error'].get('message', reply['error'])}")
    tokens, wanted = tuple(reply["tokens"]), sequence.request.params.logprobs
    if not tokens:
        return Generated(sequence=sequence, error="llama.cpp generated nothing")
    if wanted is None:
        return Generated(sequence=sequence, tokens=tokens)
    entries = reply.get("completion_probabilities", [])
    if tuple(entry["id"] for entry in entries) != tokens:
        return Generated(
            sequence=sequence, error="logprobs: llama.cpp has none of tokens that are parts of a character"
        )
    return Generated(sequence=sequence, tokens=tokens, log_probs=tuple(_log_probs(entry, wanted) for entry in entries))


def _log_probs(entry: dict[str, Any], wanted: int) -> LogProbs:
    top = {other["id"]: other["logprob"] for other in entry["top_logprobs"][:wanted]}
    return LogProbs(token=entry["id"], value=entry["logprob"], top=top)
