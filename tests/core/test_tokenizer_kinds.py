"""GPT-2's two files, tiktoken's, sentencepiece as Megatron uses it, and ids as text; and Megatron's names for them."""

import base64
import json
import random
from pathlib import Path

import pytest
import tiktoken
from sentencepiece import SentencePieceProcessor
from transformers import GPT2TokenizerFast

from plugtron.contracts import ModelDescription, Parts
from plugtron.errors import RequestError, TokenizerError
from plugtron.plugin.component import Kind
from plugtron.plugin.manager import PluginManager
from plugtron.tokenizer.gpt2 import GPT2Tokenizer
from plugtron.tokenizer.ids import NullTokenizer
from plugtron.tokenizer.options import GPT2Options, NullOptions, SentencePieceOptions, TiktokenOptions
from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer
from plugtron.tokenizer.tiktoken import TiktokenTokenizer

DATA = Path(__file__).parents[1] / "data"
BPE = DATA / "gpt2-bpe"
WORDS = [
    "Hello",
    " world",
    "  two",
    "naïve",
    "北京",
    "🙂",
    "\n",
    "\t",
    "'s",
    "12345",
    "<|endoftext|>",
    "\u200d",
    "é",
    "x",
]


def strings(count):
    """Varied texts: words, whitespace, scripts, digits, and any character there is."""
    generator = random.Random(5)
    for _ in range(count):
        anything = (chr(generator.randrange(1, 0xD7FF)) for _ in range(3))
        yield "".join(generator.choice([*WORDS, *anything, " "]) for _ in range(generator.randrange(0, 30)))


@pytest.fixture(scope="module")
def gpt2():
    return GPT2Tokenizer.from_files(BPE / "vocab.json", BPE / "merges.txt")


def model(**configuration):
    return ModelDescription(format="megatron", path=DATA, architecture="GPTModel", configuration=configuration)


def test_gpt2_equals_transformers(gpt2):
    expected = GPT2TokenizerFast(vocab=str(BPE / "vocab.json"), merges=str(BPE / "merges.txt"))
    for text in strings(1000):
        ids = gpt2.encode(text)
        assert ids == expected.encode(text), text
        assert gpt2.decode(ids, skip_special=False) == text
    assert gpt2.vocab_size == 50257
    assert gpt2.eos_ids == (50256,)


def test_gpt2_from_saved_arguments_wherever_the_files_are_now(tmp_path):
    saved = model(vocab_file="/gone/vocab.json", merge_file=str(BPE / "merges.txt"))
    with pytest.raises(TokenizerError, match=r"no tokenizer at .*vocab\.json"):
        GPT2Tokenizer.assemble(Parts(runtime=None, model=saved), GPT2Options())
    (tmp_path / "vocab.json").write_bytes((BPE / "vocab.json").read_bytes())
    here = ModelDescription(
        format="megatron", path=tmp_path, architecture="GPTModel", configuration=saved.configuration
    )
    assert GPT2Tokenizer.assemble(Parts(runtime=None, model=here), GPT2Options()).encode("Hello") == [15496]


def test_broken_gpt2_files(tmp_path):
    (tmp_path / "vocab.json").write_text("[]")
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(TokenizerError, match="are no vocabulary of GPT-2's"):
        GPT2Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_sentencepiece_adds_no_bos_for_megatron_unless_asked():
    processor = SentencePieceProcessor(str(DATA / "tokenizer.model"))
    parts = Parts(runtime=None, model=model(tokenizer_model=str(DATA / "tokenizer.model")))
    plain = SentencePieceTokenizer.assemble(parts, SentencePieceOptions())
    asked = SentencePieceTokenizer.assemble(parts, SentencePieceOptions(add_bos=True))
    for text in strings(200):
        text = text.replace("<|endoftext|>", "")
        assert plain.encode(text) == processor.encode(text)
        assert asked.encode(text) == [1, *processor.encode(text)]


@pytest.fixture(scope="module")
def ranks(gpt2):
    """A thousand tokens and their ranks: all bytes, and pairs that occur."""
    found = {bytes([byte]): byte for byte in range(256)}
    for token in range(256, 1200):
        found.setdefault(gpt2.token_bytes(token), len(found))
    return found


def test_tiktoken_file(ranks, tmp_path):
    file = tmp_path / "some.tiktoken"
    file.write_text("".join(f"{base64.b64encode(text).decode()} {rank}\n" for text, rank in ranks.items()))
    special = {"<|begin_of_text|>": len(ranks), "<|end_of_text|>": len(ranks) + 1}
    options = TiktokenOptions(path=str(file), pattern=r"\s?\S+|\s+", special_tokens=special)
    tokenizer = TiktokenTokenizer.assemble(Parts(runtime=None), options)
    library = tiktoken.Encoding("x", pat_str=r"\s?\S+|\s+", mergeable_ranks=ranks, special_tokens=special)
    for text in [*strings(200), "<|begin_of_text|>Hello<|end_of_text|>"]:
        ids = tokenizer.encode(text)
        assert ids == library.encode(text, allowed_special="all")
        assert tokenizer.decode(ids, skip_special=False) == text
    assert tokenizer.eos_ids == (len(ranks) + 1,)
    assert tokenizer.decode([0, len(ranks)]) == "\0"


def test_tiktoken_in_megatrons_json(ranks, tmp_path):
    file = tmp_path / "vocab.json"
    entries = [
        {"rank": rank, "token_bytes": base64.b64encode(text).decode(), "token_str": ""} for text, rank in ranks.items()
    ]
    file.write_text(json.dumps(entries))
    saved = model(tokenizer_model=str(file), tiktoken_num_special_tokens=20, vocab_size=1000, tiktoken_pattern="v1")
    tokenizer = TiktokenTokenizer.assemble(Parts(runtime=None, model=saved), TiktokenOptions())
    assert tokenizer.vocab_size == 1000
    assert tokenizer.encode("A<s>") == [20 + 65, 1]
    assert tokenizer.bos_id == 1
    assert tokenizer.eos_ids == (2,)
    assert tokenizer.decode([2, 19, 20 + 65]) == "A"


def test_broken_tiktoken_files(tmp_path):
    file = tmp_path / "some.tiktoken"
    whole = "".join(f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256))
    for text, complaint in (
        (whole.replace("QQ== 65\n", ""), "no token for byte 65"),
        (whole.replace("QQ== 65\n", "QQ== 66\n"), "two tokens have one id"),
    ):
        file.write_text(text)
        with pytest.raises(TokenizerError, match=complaint):
            TiktokenTokenizer.assemble(Parts(runtime=None), TiktokenOptions(path=str(file)))
    for text, complaint in (("QQ== 0\nno base64 1\n", r":2: a token in base64"), ("[{}]", "is no vocabulary")):
        file.write_text(text)
        with pytest.raises(TokenizerError, match=complaint):
            TiktokenTokenizer.assemble(Parts(runtime=None), TiktokenOptions(path=str(file)))


def test_null_tokenizer():
    tokenizer = NullTokenizer.assemble(Parts(runtime=None, model=model(vocab_size=319)), NullOptions())
    assert tokenizer.encode("1 22  319") == [1, 22, 319]
    assert tokenizer.decode([1, 22, 319]) == " 1 22"
    assert (tokenizer.vocab_size, tokenizer.eos_ids) == (320, (319,))
    padded = NullTokenizer.assemble(Parts(runtime=None, model=model(padded_vocab_size=320)), NullOptions())
    assert (padded.vocab_size, padded.eos_ids) == (320, ())
    with pytest.raises(RequestError, match="'one' is no token id"):
        tokenizer.encode("1 one")
    with pytest.raises(TokenizerError, match=r"tokenizer\.options\.vocab_size"):
        NullTokenizer.assemble(Parts(runtime=None, model=model()), NullOptions())


def test_names_of_megatron_are_accepted():
    registry = PluginManager(builtins_only=True).registry
    names = {
        "GPT2BPETokenizer": "gpt2",
        "SentencePieceTokenizer": "sentencepiece",
        "Llama2Tokenizer": "sentencepiece",
        "HuggingFaceTokenizer": "huggingface",
        "TikTokenizer": "tiktoken",
        "NullTokenizer": "ids",
    }
    for alias, name in names.items():
        assert registry.find(Kind.TOKENIZER, alias).name == name
