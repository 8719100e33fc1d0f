"""Grammars over the vocabularies of all kinds of tokenizers: what a mask allows spells what the grammar says."""

import base64
import random
import re
from pathlib import Path

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor
from support.gguf_files import write_vocabulary

from plugtron.contracts import Parts
from plugtron.testing import write_model
from plugtron.tokenizer.gguf import gguf_tokenizer
from plugtron.tokenizer.gpt2 import GPT2Tokenizer
from plugtron.tokenizer.huggingface import HuggingFaceTokenizer
from plugtron.tokenizer.options import TiktokenOptions
from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer
from plugtron.tokenizer.tiktoken import TiktokenTokenizer
from plugtron_samplers.grammar.cache import GrammarCache
from plugtron_samplers.grammar.row import GrammarRow
from plugtron_samplers.grammar.source import source_of

DATA = Path(__file__).parents[1] / "data"
PATTERN = r'\{"name": "[A-Z][a-zé ]{2,12}", "city": "(Łódź|北京|New York)"\}'


def gpt2():
    return GPT2Tokenizer.from_files(DATA / "gpt2-bpe" / "vocab.json", DATA / "gpt2-bpe" / "merges.txt")


def of_gguf(folder):
    write_vocabulary(folder / "vocabulary.gguf", SentencePieceProcessor(str(DATA / "tokenizer.model")))
    return gguf_tokenizer(folder / "vocabulary.gguf")


def of_tiktoken(folder):
    ranks, words = {bytes([byte]): byte for byte in range(256)}, gpt2()
    for token in range(256, 1200):
        ranks.setdefault(words.token_bytes(token), len(ranks))
    file = folder / "some.tiktoken"
    file.write_text("".join(f"{base64.b64encode(text).decode()} {rank}\n" for text, rank in ranks.items()))
    special = {"<|begin_of_text|>": len(ranks), "<|end_of_text|>": len(ranks) + 1}
    options = TiktokenOptions(path=str(file), pattern=r"\s?\S+|\s+", special_tokens=special)
    return TiktokenTokenizer.assemble(Parts(runtime=None), options)


KINDS = {
    "huggingface": lambda folder: HuggingFaceTokenizer.from_file(write_model(folder / "m", "plain") / "tokenizer.json"),
    "sentencepiece": lambda folder: SentencePieceTokenizer.from_file(DATA / "tokenizer.model"),
    "gguf": of_gguf,
    "gpt2": lambda folder: gpt2(),
    "tiktoken": of_tiktoken,
}


def walk(row, draw, vocab_size, ends):
    """Ids that a mask allows, one after the other, until an end."""
    tokens, fresh = [], []
    while True:
        mask = np.unpackbits(np.frombuffer(row.advance(fresh), np.uint8), bitorder="little")[:vocab_size]
        fresh = [int(draw.choice(np.flatnonzero(mask)))]
        if fresh[0] in ends:
            return tokens
        tokens += fresh


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind, tmp_path):
    tokenizer = KINDS[kind](tmp_path)
    ends = tokenizer.eos_ids or (0,)
    size = tokenizer.vocab_size + 70  # as models' are padded
    cache, draw = GrammarCache(tokenizer, size), random.Random(3)
    longest = 0
    for _ in range(20):
        tokens = walk(GrammarRow(cache, source_of("regex", PATTERN), ends), draw, size, ends)
        assert re.fullmatch(PATTERN, tokenizer.decode(tokens))
        longest = max(longest, *(len(tokenizer.token_bytes(token)) for token in tokens))
    assert kind == "huggingface" or longest > 2, "there, each byte is a token"


def test_an_answer_that_is_begun_goes_on(tmp_path):
    """A sequence whose memory was given away begins with the tokens that it has."""
    tokenizer = KINDS["huggingface"](tmp_path)
    cache, source = GrammarCache(tokenizer, tokenizer.vocab_size), source_of("regex", PATTERN)
    draw, ends = random.Random(1), tokenizer.eos_ids
    tokens = walk(GrammarRow(cache, source, ends), draw, tokenizer.vocab_size, ends)
    steps, whole = GrammarRow(cache, source, ends), []
    for at, token in enumerate([*tokens, ends[0]]):
        assert GrammarRow(cache, source, ends).advance(tokens[:at]) == steps.advance(whole)
        whole = [token]


def test_compiled_grammars_are_kept_up_to_a_number(tmp_path):
    tokenizer = KINDS["huggingface"](tmp_path)
    cache = GrammarCache(tokenizer, tokenizer.vocab_size)
    first = cache.get(source_of("regex", "a0"))
    assert cache.get(source_of("regex", "a0")) is first
    for number in range(1, 40):
        cache.get(source_of("regex", f"a{number}"))
    assert cache.get(source_of("regex", "a0")) is not first
