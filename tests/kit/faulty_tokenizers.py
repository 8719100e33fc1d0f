"""Tokenizers that are wrong, each in a way of its own."""

import time

from offered import offered

from plugtron import Component, Need, hookimpl
from plugtron.contracts import Tokenizer
from plugtron.contracts.tokenizer import ByteDetokenizer
from plugtron.errors import TokenizerError

BEGIN, END = 256, 257


class Right(Tokenizer):
    """Ids are bytes, and two more."""

    vocab_size = 258
    bos_id = BEGIN
    eos_ids = (END,)
    chat_template = None

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def encode(self, text, *, add_special=True):
        return [BEGIN] * add_special + list(text.encode())

    def token_bytes(self, token):
        return bytes([token]) if token < 256 else b"<special>"

    def is_special(self, token):
        return token in (BEGIN, END)


class Lossy(Right):
    """Loses what no round trip needs to keep; not the kind that says it loses nothing."""

    def encode(self, text, *, add_special=True):
        return super().encode(text.lower(), add_special=add_special)


class CountsTooFew(Right):
    vocab_size = 128


class OtherEnd(Right):
    """Has an end that is no id of its own, as a checkpoint's that was cut down."""

    eos_ids = (50256,)


class IdsAreTexts(Right):
    def encode(self, text, *, add_special=True):
        return [str(token) for token in super().encode(text, add_special=add_special)]


class StripsTexts(Right):
    def decode(self, ids, *, skip_special=True):
        return super().decode(ids, skip_special=skip_special).strip()


class EachByItself(Right):
    """Decodes each id for itself, broken characters and all."""

    class Detokenizer(ByteDetokenizer):
        def push(self, token):
            return self._tokenizer.decode([token])

    def incremental(self, *, skip_special=True):
        return self.Detokenizer(self, skip_special=skip_special)


class NeverFinishes(Right):
    """Loses what is held back at the end."""

    class Detokenizer(ByteDetokenizer):
        def finish(self):
            return ""

    def incremental(self, *, skip_special=True):
        return self.Detokenizer(self, skip_special=skip_special)


class BytesAreTexts(Right):
    def token_bytes(self, token):
        return chr(token)

    def decode(self, ids, *, skip_special=True):
        return "".join(map(chr, ids))


class ShowsItsEnd(Right):
    def is_special(self, token):
        return token == BEGIN


class DecodesSpecial(Right):
    def decode(self, ids, *, skip_special=True):
        return super().decode(ids, skip_special=False)


class BeginsTwice(Right):
    def encode(self, text, *, add_special=True):
        return [BEGIN, *super().encode(text, add_special=add_special)]


class AlwaysBegins(Right):
    def encode(self, text, *, add_special=True):
        return super().encode(text, add_special=True)


class OneBuffer(Right):
    """Encodes into a list that all threads share."""

    def encode(self, text, *, add_special=True):
        self.buffer = [BEGIN] * add_special
        for byte in text.encode():
            self.buffer.append(byte)
            time.sleep(0)
        time.sleep(1e-4)
        return list(self.buffer)


class RefusesWords(Right):
    """Raises for what it does not know, instead of falling back on bytes."""

    def encode(self, text, *, add_special=True):
        if add_special and not text.isascii():
            raise KeyError(text)
        return super().encode(text, add_special=add_special)


class KnowsItsOwnIds(Right):
    """Raises for an id beyond its own, of which a model with more ids draws some."""

    def token_bytes(self, token):
        return (bytes(range(256)), b"<s>", b"</s>")[max(0, token - 255)][: token + 1][-1:] if token < 258 else {}[token]


class InsistsOnItsSize(Right):
    """Refuses models with fewer ids, though most prompts have none of those that are missing."""

    @classmethod
    def assemble(cls, parts, options):
        size = parts.model.configuration["vocab_size"]
        if size < cls.vocab_size:
            raise TokenizerError(f"the model has {size} ids, the tokenizer {cls.vocab_size}")
        return cls()


NAMES = offered(globals(), Tokenizer)


@hookimpl
def plugtron_tokenizers():
    return [
        Component(name=name, target=f"{__name__}:{value}", summary="wrong", needs=frozenset({Need.CHECKPOINT}))
        for name, value in NAMES.items()
    ]
