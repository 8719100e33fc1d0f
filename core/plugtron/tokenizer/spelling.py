"""How the decoder of a tokenizer.json spells a token, one token at a time.

The `tokenizers` library decodes a whole list of tokens. Streaming needs the bytes of each token as it is drawn, so the
decoder's description is compiled here into one function from a token's text to bytes. What a decoder does to the first
token of a text alone (dropping a leading space) does not apply: a generated text continues its prompt. A decoder that
needs its neighbors in any other way is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from plugtron.errors import TokenizerError
from plugtron.tokenizer.byte_level import byte_of_character, spelled_bytes

__all__ = ["Spelling", "decoder_spelling", "sentencepiece_spelling"]

#: From a token's text to the bytes that it adds.
Spelling = Callable[[str], bytes]
Step = Callable[[str], str]

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_ACCEPTED = "ByteLevel, Metaspace, ByteFallback, Replace, Fuse, Strip, or a Sequence of them"


def sentencepiece_spelling(piece: str) -> bytes:
    """The bytes of a sentencepiece token: <0xAB> is a byte, ▁ a space."""
    return _byte_or_text(piece, [lambda text: text.replace("▁", " ")])


def decoder_spelling(decoder: Mapping[str, Any] | None, place: str) -> Spelling:
    """Compile a decoder as tokenizer.json describes it. Without one, tokens are words with spaces between them.

    Raises:
        TokenizerError: it needs more than one token at a time, or is of an unknown kind; with `place`.
    """
    if decoder is None:
        return lambda piece: f" {piece}".encode()
    steps: list[Step] = []
    fused = byte_pieces = False
    parts = list(_flat(decoder, place))
    for number, part in enumerate(parts, start=1):
        kind = part.get("type")
        if kind == "ByteLevel":
            if number < len(parts):
                behind = parts[number].get("type")
                raise TokenizerError(f"{place}: decoder {behind!r} behind ByteLevel (accepted: none)")
            table = byte_of_character()
            return lambda piece: spelled_bytes(_through(steps, piece), table)
        if kind == "ByteFallback":
            byte_pieces = True
        elif kind == "Fuse":
            fused = True
        elif kind == "Metaspace":
            steps.append(_replacing(part.get("replacement"), " ", place))
        elif kind == "Replace":
            steps.append(_replacing(_literal(part.get("pattern"), place), part.get("content"), place))
        elif kind == "Strip":
            _add_strip(part, steps, place, whole_text=fused)
        else:
            raise TokenizerError(f"{place}: decoder {kind!r} (accepted: {_ACCEPTED})")
    if byte_pieces:
        return lambda piece: _byte_or_text(piece, steps)
    return lambda piece: _through(steps, piece).encode()


def _flat(decoder: Any, place: str) -> Iterator[Mapping[str, Any]]:
    """The decoders of a sequence in order, sequences inside it opened."""
    if not isinstance(decoder, dict):
        raise TokenizerError(f"{place}: decoder must be a mapping (got {decoder!r})")
    if decoder.get("type") != "Sequence":
        yield decoder
        return
    for part in decoder.get("decoders") or ():
        yield from _flat(part, place)


def _through(steps: list[Step], piece: str) -> str:
    for step in steps:
        piece = step(piece)
    return piece


def _byte_or_text(piece: str, steps: list[Step]) -> bytes:
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return _through(steps, piece).encode()


def _replacing(old: Any, new: Any, place: str) -> Step:
    if not isinstance(old, str) or not isinstance(new, str) or not old:
        raise TokenizerError(f"{place}: a decoder replaces {old!r} by {new!r}; both must be texts")
    return lambda text: text.replace(old, new)


def _literal(pattern: Any, place: str) -> Any:
    if isinstance(pattern, dict) and "Regex" in pattern:
        raise TokenizerError(f"{place}: decoder 'Replace' with a regular expression (accepted: a plain text)")
    return pattern.get("String") if isinstance(pattern, dict) else pattern


def _add_strip(part: Mapping[str, Any], steps: list[Step], place: str, *, whole_text: bool) -> None:
    """Of every token; behind Fuse the "token" is the whole text, whose beginning is not ours."""
    content, start, stop = str(part.get("content", " ")), part.get("start", 0), part.get("stop", 0)
    if whole_text and not stop:
        return
    if whole_text:
        raise TokenizerError(f"{place}: decoder 'Strip' at the end of a text (accepted: at its beginning)")

    def strip(text: str) -> str:
        left = 0
        while left < start and text[left : left + 1] == content:
            left += 1
        right = len(text)
        while len(text) - right < stop and right > left and text[right - 1] == content:
            right -= 1
        return text[left:right]

    steps.append(strip)
