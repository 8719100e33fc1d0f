"""How likely a model finds given text: continuations of prompts, and whole texts."""

from __future__ import annotations

from plugtron.scores.continuations import encode_pair, encode_text, score_continuations
from plugtron.scores.perplexity import Perplexity, score_texts
from plugtron.scores.score import Score

__all__ = ["Perplexity", "Score", "encode_pair", "encode_text", "score_continuations", "score_texts"]
