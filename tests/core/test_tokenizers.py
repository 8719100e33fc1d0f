"""Tokenizers against the libraries they come from, and text that arrives id by id."""

import json
import random
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from support.gguf_files import write_vocabulary
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from plugtron.contracts import Parts
from plugtron.errors import RequestError, TokenizerError
from plugtron.tokenizer.chat import render_chat
from plugtron.tokenizer.gguf import gguf_tokenizer
from plugtron.tokenizer.huggingface import HuggingFaceTokenizer
from plugtron.tokenizer.options import SentencePieceOptions
from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer

MODEL = Path(__file__).parents[1] / "data" / "tokenizer.model"
TEXTS = ["Hello world", " two  spaces", "naïve 北京 🙂", "a\n\tb", "12345", "", "x" * 50]


@pytest.fixture(scope="module")
def processor():
    return SentencePieceProcessor(str(MODEL))


@pytest.fixture(params=["file", "gguf"])
def sentencepiece(request, processor, tmp_path):
    if request.param == "file":
        return SentencePieceTokenizer.from_file(MODEL)
    write_vocabulary(tmp_path / "vocabulary.gguf", processor)
    return gguf_tokenizer(tmp_path / "vocabulary.gguf")


def test_sentencepiece(sentencepiece, processor):
    for text in TEXTS:
        assert sentencepiece.encode(text) == [1, *processor.encode(text)]
        assert sentencepiece.encode(text, add_special=False) == processor.encode(text)
    assert sentencepiece.decode(sentencepiece.encode("Hello wörld 🙂")) == " Hello wörld 🙂"
    assert sentencepiece.eos_ids == (2,)


def test_special_tokens_in_a_text_are_recognized_and_bos_is_not_doubled(sentencepiece, processor):
    assert sentencepiece.encode("<s>Hello</s>") == [1, *processor.encode("Hello"), 2]
    assert sentencepiece.decode([1, 22557, 2]) == " Hello"
    assert sentencepiece.decode([1, 22557, 2], skip_special=False) == "<s> Hello</s>"


def test_vocabulary_with_padding_and_tokens_of_users(processor, tmp_path):
    """Padding marked as unknown, an empty piece, a token with real spaces: as files in the wild have them."""
    extra = {"<pad1>": 2, "<tool>": 4, "": 1, "<|im_end|>": 3}
    write_vocabulary(tmp_path / "vocabulary.gguf", processor, **extra)
    tokenizer = gguf_tokenizer(tmp_path / "vocabulary.gguf")
    assert tokenizer.eos_ids == (2, 32003)
    assert tokenizer.encode("a<tool>b", add_special=False) == [*processor.encode("a"), 32001, *processor.encode("b")]
    assert tokenizer.decode([32001, 32003]) == "<tool>"


def test_incremental_text_is_the_text(sentencepiece):
    generator = random.Random(0)
    for _ in range(50):
        ids = [generator.randrange(sentencepiece.vocab_size) for _ in range(30)]
        detokenizer = sentencepiece.incremental()
        assert "".join([*map(detokenizer.push, ids), detokenizer.finish()]) == sentencepiece.decode(ids)


@pytest.fixture
def folder(tmp_path):
    """A byte-level BPE tokenizer.json with BOS and EOS in its post-processor."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<unk>", "<bos>", "</s>"]
    )
    backend.train_from_iterator(["the quick brown fox jumps over the lazy dog " * 20], trainer)
    backend.add_tokens([AddedToken("<tool>")])
    special = [("<bos>", 1), ("</s>", 2)]
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A </s>", special_tokens=special)
    backend.save(str(tmp_path / "tokenizer.json"))
    config = {
        "bos_token": "<bos>",
        "eos_token": {"__type": "AddedToken", "content": "</s>"},
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    config["chat_template"] = "{{bos_token}}{% for m in messages %}{{m.content}}{{eos_token}}{% endfor %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    return tmp_path


def test_tokenizer_json(folder):
    tokenizer, reference = (
        HuggingFaceTokenizer.from_file(folder / "tokenizer.json"),
        AutoTokenizer.from_pretrained(folder),
    )
    for text in [*TEXTS, "the <tool> fox", "</s>x"]:
        ids = tokenizer.encode(text)
        assert [*ids, 2] == reference.encode(text)  # an EOS behind a prompt would end it before it began
        assert tokenizer.decode(ids[1:], skip_special=False) == text
    assert tokenizer.encode("<bos>the") == tokenizer.encode("the")
    assert (tokenizer.bos_id, tokenizer.eos_ids) == (1, (2, 0))
    assert render_chat(tokenizer, [{"role": "user", "content": "hi"}]) == "<bos>hi</s>"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (None, "this checkpoint has no chat template"),
        ("{{ raise_exception('no system role') }}", "the chat template refuses these messages: no system role"),
        ("{{ ''.__class__.__mro__ }}", "the chat template refuses these messages"),
        ("{% for %}", "the chat template refuses these messages"),
        ("{{ messages[0].missing.deeper }}", "the chat template refuses these messages"),
    ],
)
def test_chat_templates_are_kept_in_a_sandbox(template, text, folder):
    tokenizer = HuggingFaceTokenizer.from_file(folder / "tokenizer.json")
    tokenizer.chat_template = template
    with pytest.raises(RequestError, match=text):
        render_chat(tokenizer, [{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("content", ["{", '{"version": "1.0"}', ""])
def test_broken_tokenizer_json(content, folder):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
        HuggingFaceTokenizer.from_file(folder / "tokenizer.json")


def test_broken_sentencepiece_model(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(TokenizerError, match="is no sentencepiece model"):
        SentencePieceTokenizer.from_file(tmp_path / "tokenizer.model")


def test_a_tokenizer_that_is_not_there(tmp_path):
    parts = Parts(runtime=None)
    with pytest.raises(TokenizerError, match=r"no tokenizer at .*; tokenizer.options may name another file"):
        SentencePieceTokenizer.assemble(parts, SentencePieceOptions(path=str(tmp_path / "none.model")))
