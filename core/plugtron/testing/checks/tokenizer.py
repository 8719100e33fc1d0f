"""What a tokenizer has to keep to."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from plugtron.contracts import Tokenizer
from plugtron.errors import PlugtronError
from plugtron.plugin.component import Kind
from plugtron.request import InferenceRequest, SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["RoundTripTokenizerChecks", "TokenizerChecks"]

_TEXTS = (
    "Hello, world!",
    " two  spaces ",
    "line\nbreak\ttab",
    "naïve café, Größe",
    "日本語のテキスト",
    "e\u0301 and \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "0123456789 3.14159",
    "x",
)


class TokenizerChecks(ComponentChecks):
    """Every tokenizer passes these.

    Attributes:
        texts: what is encoded; those that a tokenizer has no ids for may be left out.
    """

    kind: ClassVar[Kind] = Kind.TOKENIZER
    texts: ClassVar[Sequence[str]] = _TEXTS

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[Tokenizer]:
        """The tokenizer of a run; the model has 277 ids."""
        with host.session({**cls.values(host, model("padded")), "execution": "eager"}) as session:
            assert session.parts.tokenizer is not None
            yield session.parts.tokenizer

    @classmethod
    def values(cls, host: Host, folder: Path) -> dict[str, Any]:
        """A spec with the tokenizer, for a model of its own."""
        return {"model": {"checkpoint": str(folder), "dtype": "float32"}, "tokenizer": cls.reference(host)}

    def test_ids_are_tokens(self, plugtron_subject: Tokenizer) -> None:
        """Ids are whole numbers from 0 to vocab_size - 1, special ones among them."""
        for text in self.texts:
            wrong = [token for token in plugtron_subject.encode(text) if not _is_token(token, plugtron_subject)]
            if wrong:
                size = plugtron_subject.vocab_size
                refuse(f"{text!r} is encoded with {wrong[0]!r}, which is no id below vocab_size {size}")
        for token in _special(plugtron_subject):
            if not _is_token(token, plugtron_subject):
                refuse(f"bos_id or eos_ids have {token!r}, which is no id below vocab_size")

    def test_incremental_equals_whole(self, plugtron_subject: Tokenizer) -> None:
        """The pieces of a detokenizer together are `decode` of all ids, of random ones, too."""
        generator = random.Random(1)
        longest = plugtron_subject.vocab_size
        series = [plugtron_subject.encode(text, add_special=False) for text in self.texts]
        series += [[generator.randrange(longest) for _ in range(40)] for _ in range(20)]
        for ids in series:
            detokenizer = plugtron_subject.incremental()
            pieces = "".join(map(detokenizer.push, ids)) + detokenizer.finish()
            if pieces != plugtron_subject.decode(ids):
                refuse(f"ids {ids[:12]} decode to {plugtron_subject.decode(ids)!r}, one by one to {pieces!r}")

    def test_takes_nothing_back(self, plugtron_subject: Tokenizer) -> None:
        """What a detokenizer has said stays: no piece has a character that later bytes complete."""
        for text in self.texts:
            detokenizer = plugtron_subject.incremental()
            said = ""
            for token in plugtron_subject.encode(text, add_special=False):
                said += detokenizer.push(token)
                if "\ufffd" in said and "\ufffd" not in text:
                    refuse(f"{text!r}: a detokenizer says {said!r} before a character is complete")

    def test_bytes_of_tokens(self, plugtron_subject: Tokenizer) -> None:
        """Every id stands for bytes."""
        for token in range(min(plugtron_subject.vocab_size, 5000)):
            if not isinstance(plugtron_subject.token_bytes(token), bytes):
                refuse(f"token_bytes({token}) is a {type(plugtron_subject.token_bytes(token)).__name__}, not bytes")

    def test_special_tokens(self, plugtron_subject: Tokenizer) -> None:
        """Special ids are special, are left out of texts, and BOS comes once."""
        tokenizer, text = plugtron_subject, self.texts[0]
        for token in _special(tokenizer):
            if not tokenizer.is_special(token):
                refuse(f"id {token} is bos_id or in eos_ids, and is_special says no")
            if tokenizer.decode([token]):
                refuse(f"special id {token} is decoded to {tokenizer.decode([token])!r}: skip_special is the default")
        with_special = tokenizer.encode(text)
        if tokenizer.bos_id is not None and with_special.count(tokenizer.bos_id) > 1:
            refuse(f"{text!r} is encoded with BOS {with_special.count(tokenizer.bos_id)} times")
        if tokenizer.bos_id is not None and tokenizer.bos_id in tokenizer.encode(text, add_special=False):
            refuse("encode(add_special=False) adds BOS")

    def test_threads(self, plugtron_subject: Tokenizer) -> None:
        """Prompts are encoded by several threads at once."""
        texts = list(self.texts) * 20
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(plugtron_subject.encode, texts))
        if found != [plugtron_subject.encode(text) for text in texts]:
            refuse("encode gives other ids when several threads call it at once")

    def test_runs(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """A text prompt is answered, or refused where its ids are beyond the model's: nothing else happens."""
        self._answer(plugtron_host, plugtron_model("padded"))

    def test_larger_than_the_model(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """A model may have fewer ids: texts without those that it lacks are answered."""
        folder = plugtron_model("narrow")
        try:
            self._answer(plugtron_host, folder)
        except PlugtronError as error:
            refuse(f"a model with fewer ids is not run: {error}")

    def test_smaller_than_the_model(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """A model may have more ids, and draw them: they are no text, and no error."""
        with plugtron_host.session(self.values(plugtron_host, plugtron_model("padded"))) as session:
            assert session.parts.wrapper is not None
            last = session.parts.wrapper.info.vocab_size - 1
            params = SamplingParams(temperature=0, max_tokens=3, ignore_eos=True, allowed_token_ids=[last])
            request = InferenceRequest(prompt=[1, 2, 3], params=params)
            for _ in session.run([request]):
                pass
        if request.error is not None:
            refuse(f"a model that draws id {last} fails: {request.error}")

    def _answer(self, host: Host, folder: Path) -> None:
        params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
        requests = [InferenceRequest(prompt=text, params=params) for text in self.texts]
        with host.session(self.values(host, folder)) as session:
            assert session.parts.wrapper is not None
            size = session.parts.wrapper.info.vocab_size
            for _ in session.run(requests):
                pass
        for request in requests:
            beyond = any(token >= size for token in request.prompt_tokens)
            if request.error is not None and not beyond and f"(0 to {size - 1})" not in request.error:
                refuse(f"{request.prompt!r} fails: {request.error}")


class RoundTripTokenizerChecks(TokenizerChecks):
    """For tokenizers that lose nothing."""

    def test_round_trip(self, plugtron_subject: Tokenizer) -> None:
        """Decoding what was encoded gives the text."""
        for text in self.texts:
            found = plugtron_subject.decode(plugtron_subject.encode(text, add_special=False))
            if found != text:
                refuse(f"{text!r} comes back as {found!r}")


def _special(tokenizer: Tokenizer) -> list[int]:
    return [*tokenizer.eos_ids, *([] if tokenizer.bos_id is None else [tokenizer.bos_id])]


def _is_token(token: object, tokenizer: Tokenizer) -> bool:
    return isinstance(token, int) and 0 <= token < tokenizer.vocab_size
