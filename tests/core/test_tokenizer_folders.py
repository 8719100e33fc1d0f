"""Hugging Face folders as people have them, against transformers on the same folder."""

import json
import random
import re
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from support.gguf_files import write_vocabulary
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from plugtron.errors import TokenizerError
from plugtron.tokenizer.gguf import gguf_tokenizer
from plugtron.tokenizer.huggingface import HuggingFaceTokenizer
from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer

MODEL = Path(__file__).parents[1] / "data" / "tokenizer.model"
CORPUS = ["the quick brown fox jumps over the lazy dog " * 20, "a b c d e f 0 1 2 3 4 5 6 7 8 9"]


def byte_level(*, words=None, special=("<unk>", "<s>", "</s>")):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=list(special)
    )
    backend.train_from_iterator(words or CORPUS, trainer)
    return backend


def spaced(*, replacement="▁", extra=("<0x0A>",)):
    """A vocabulary with spaces written as `replacement`."""
    characters = [*"abcdefghijklmnopqrstuvwxyz0123456789<>x", replacement, f"{replacement}{replacement}"]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(["<unk>", "<s>", "</s>", *characters]))}
    for token in extra:
        vocabulary[token] = len(vocabulary)
    merges = [(replacement, replacement)]
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    backend.add_special_tokens([AddedToken(name, special=True) for name in ("<unk>", "<s>", "</s>")])
    return backend


def save(backend, folder, config=None, **files):
    backend.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **(config or {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder / "tokenizer.json"


def both(file):
    return HuggingFaceTokenizer.from_file(file), AutoTokenizer.from_pretrained(file.parent)


def texts(extra, count=60):
    generator = random.Random(3)
    words = ["the", " fox", "  ", "\n", "user", "é", "北京", *extra]
    for _ in range(count):
        yield "".join(generator.choice(words) for _ in range(generator.randrange(1, 12)))


def agree(file, extra=()):
    ours, theirs = both(file)
    for text in texts(extra):
        ids = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text, add_special=False) == ids, text
        assert ours.decode(ids, skip_special=False) == theirs.decode(ids, skip_special_tokens=False), text
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), text
    return ours, theirs


def test_stored_truncation_and_padding_are_off_everywhere(tmp_path):
    backend = byte_level()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    plain = backend.encode("the quick brown fox", add_special_tokens=False).ids
    backend.enable_truncation(4)
    backend.enable_padding(length=32, pad_id=0, pad_token="<unk>")
    ours = HuggingFaceTokenizer.from_file(save(backend, tmp_path))
    assert ours.encode("the quick brown fox") == [1, *plain]
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer.json").read_text())
    assert saved["truncation"] is None
    assert saved["padding"] is None


def test_tokens_that_tokenizer_config_lists(tmp_path):
    backend = byte_level()
    size = backend.get_vocab_size()
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
    listed = {
        str(size): flags | {"content": "<|im_start|>"},
        str(size + 1): flags | {"content": "<|im_end|>", "lstrip": True, "rstrip": True},
        str(size + 2): flags | {"content": "fox", "single_word": True, "special": False, "normalized": True},
    }
    config = {"added_tokens_decoder": listed, "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    ours, theirs = agree(save(backend, tmp_path, config), ["<|im_start|>", " <|im_end|> ", "fox", "foxes", "<pad>"])
    assert ours.eos_ids == (size + 1,) == (theirs.eos_token_id,)
    assert ours.special_tokens == {"eos_token": "<|im_end|>", "pad_token": "<pad>"}


def test_tokens_of_added_tokens_json_and_special_tokens_map(tmp_path):
    backend = byte_level()
    size = backend.get_vocab_size()
    special = {
        "bos_token": {"content": "<s>", "lstrip": False, "rstrip": False, "single_word": False, "normalized": False},
        "eos_token": "<|im_end|>",
        "extra_special_tokens": ["<|im_start|>"],
    }
    file = save(
        backend,
        tmp_path,
        special_tokens_map=special,
        added_tokens={"<|im_end|>": size + 1, "<|im_start|>": size, "<tool>": size + 2},
    )
    ours, theirs = agree(file, ["<|im_start|>", "<|im_end|>", "<tool>", "<s>"])
    assert (ours.bos_id, ours.eos_ids) == (1, (size + 1,)) == (theirs.bos_token_id, (theirs.eos_token_id,))
    assert ours.is_special(size)
    assert not ours.is_special(size + 2)


@pytest.mark.parametrize("name", ["extra_special_tokens", "additional_special_tokens"])
def test_extra_special_tokens_are_taken_whole(name, tmp_path):
    ours, _ = agree(save(byte_level(), tmp_path, {name: ["<|one|>", "<|two|>"]}), ["<|one|>", "<|two|>"])
    assert ours.is_special(ours.encode("<|two|>")[0])


def test_named_extra_tokens_reach_templates(tmp_path):
    file = save(byte_level(), tmp_path, {"extra_special_tokens": {"image_token": "<image>"}})
    assert HuggingFaceTokenizer.from_file(file).special_tokens == {"image_token": "<image>"}


def test_a_listed_id_that_the_vocabulary_contradicts(tmp_path):
    """As for transformers the token gets the next id; but it is said."""
    file = save(byte_level(), tmp_path, {"added_tokens_decoder": {"500": {"content": "<late>", "special": True}}})
    with pytest.warns(UserWarning, match=r"token '<late>' has id \d+, although it is listed with 500 beside it"):
        ours, theirs = both(file)
    assert ours.encode("<late>") == theirs.encode("<late>")


def test_what_tokenizer_json_says_of_a_token_is_newer_than_added_tokens_json(tmp_path):
    backend = byte_level()
    backend.add_special_tokens([AddedToken("<|im_end|>", rstrip=True)])
    size = backend.get_vocab_size()
    agree(save(backend, tmp_path, added_tokens={"<|im_end|>": size - 1}), ["<|im_end|>", " "])


@pytest.mark.parametrize("source", ["named", "listed as text"])
def test_special_once_is_special_for_ever(source, tmp_path):
    backend = byte_level()
    backend.add_tokens([AddedToken("<|im_end|>")])
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": False}
    config = {
        "named": {"eos_token": "<|im_end|>"},
        "listed as text": {"added_tokens_decoder": {"2": flags | {"content": "</s>"}}},
    }
    agree(save(backend, tmp_path, config[source]), ["<|im_end|>", "</s>"])


def test_a_list_in_tokenizer_config_is_all_there_is_to_say_of_special_tokens(tmp_path):
    special = {"bos_token": "<s>", "additional_special_tokens": ["<|im_end|>"]}
    file = save(byte_level(), tmp_path, {"added_tokens_decoder": {}}, special_tokens_map=special)
    ours, _ = agree(file, ["<|im_end|>"])
    assert ours.special_tokens == {}


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "LlamaTokenizerFast"])
@pytest.mark.parametrize("flag", [True, False, None])
@pytest.mark.parametrize("adds", [True, False])
def test_who_decides_over_bos(adds, flag, kind, tmp_path):
    """The post-processor; for Llama's classes add_bos_token, where it is written, as in transformers 4."""
    backend = byte_level()
    if adds:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    config = {"bos_token": "<s>", "tokenizer_class": kind} | ({} if flag is None else {"add_bos_token": flag})
    ours = HuggingFaceTokenizer.from_file(save(backend, tmp_path, config))
    expected = flag if kind == "LlamaTokenizerFast" and flag is not None else adds
    assert (ours.encode("fox")[0] == 1) is expected


def test_special_tokens_may_be_text(tmp_path):
    ours, theirs = both(save(byte_level(), tmp_path, {"split_special_tokens": True}))
    assert ours.encode("<s>a") == theirs.encode("<s>a")
    assert 1 not in ours.encode("<s>a")


def test_a_class_that_names_its_end(tmp_path):
    backend = byte_level(special=("<unk>", "<s>", "<|endoftext|>"))
    file = save(backend, tmp_path, {"tokenizer_class": "Qwen2Tokenizer"})
    assert HuggingFaceTokenizer.from_file(file).eos_ids == (2,)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tokenizer_config", {"bos_token": "\ud800"}),
        ("special_tokens_map", {"bos_token": {"content": "\ud800"}}),
        ("added_tokens", {"\ud800": 500}),
        ("tokenizer_config", {"chat_template": "\ud800"}),
        ("tokenizer_config", {"added_tokens_decoder": {"9" * 5000: "x"}}),
        ("tokenizer_config", {"added_tokens_decoder": [1]}),
        ("tokenizer_config", {"add_bos_token": "yes"}),
        ("tokenizer_config", {"additional_special_tokens": 5}),
        ("added_tokens", {"x": -1}),
        ("generation_config", {"eos_token_id": "2"}),
    ],
)
def test_files_with_values_that_are_none(name, values, tmp_path):
    file = save(byte_level(), tmp_path)
    (tmp_path / f"{name}.json").write_text(json.dumps(values))
    with pytest.raises(TokenizerError, match=rf"{name}\.json"):
        HuggingFaceTokenizer.from_file(file)


def test_ids_that_are_nobodys(tmp_path):
    file = save(byte_level(), tmp_path, generation_config={"eos_token_id": [-1, 2**70, 2]})
    ours = HuggingFaceTokenizer.from_file(file)
    assert ours.eos_ids == (2,)
    assert ours.token_bytes(-1) == ours.token_bytes(2**40) == b""


@pytest.mark.parametrize("single", ["<s> $A </s>", "<s> $A", "$A </s>"])
@pytest.mark.parametrize("inside", [False, True])
def test_the_prefix_of_a_vocabulary_that_cannot_spell_a_letter(single, inside, tmp_path):
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "ACGT": 3, "TTTT": 4}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("<s>", 1), ("</s>", 2)]
    processor = processors.TemplateProcessing(single=single, special_tokens=special)
    backend.post_processor = processors.Sequence([processor]) if inside else processor
    ours, _ = both(save(backend, tmp_path))
    assert ours.encode("ACGT TTTT") == ([1, 3, 4] if single.startswith("<s>") else [3, 4])
    assert ours.decode([3, 4]) == " ACGT TTTT"  # no decoder: words, with spaces between


def test_added_tokens_go_through_the_decoder(tmp_path):
    backend = spaced()
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_tokens([AddedToken("▁▁▁", normalized=False), AddedToken("<0x41>", normalized=False)])
    ours, theirs = both(save(backend, tmp_path))
    ids = [*range(3, ours.vocab_size)]
    assert ours.decode(ids) == theirs.decode(ids)
    assert ours.decode([ours.vocab_size - 2, ours.vocab_size - 1]) == "   A"
    level = byte_level()
    level.add_tokens([AddedToken("Ġhey"), AddedToken("naïve 北")])
    (tmp_path / "level").mkdir()
    ours, theirs = both(save(level, tmp_path / "level"))
    size = level.get_vocab_size()
    assert ours.decode([size - 2]) == theirs.decode([size - 2]) == " hey"
    assert ours.decode([size - 1]) == theirs.decode([size - 1]) == "naïve 北"


@pytest.mark.parametrize(
    ("replacement", "decoder"),
    [
        ("_", decoders.Metaspace(replacement="_", prepend_scheme="never")),
        ("▁", decoders.Metaspace(prepend_scheme="never")),  # and no bytes: <0x0A> is a text
        ("</w>", decoders.Sequence([decoders.Replace("</w>", " ")])),
        ("▁", decoders.Sequence([decoders.Sequence([decoders.Replace("▁", " ")]), decoders.ByteFallback()])),
        ("▁", decoders.Sequence([decoders.Strip("a", 1, 0), decoders.Replace("▁", "-")])),
    ],
)
def test_decoders_are_honored(replacement, decoder, tmp_path):
    backend = spaced(replacement=replacement, extra=("<0x0A>", f"ab{replacement}", "aba"))
    backend.decoder = decoder
    ours, theirs = both(save(backend, tmp_path))
    generator = random.Random(1)
    for _ in range(50):
        ids = [generator.randrange(3, ours.vocab_size) for _ in range(10)]
        assert ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize(
    ("decoder", "name"),
    [
        (decoders.WordPiece(), "WordPiece"),
        (decoders.BPEDecoder(), "BPEDecoder"),
        (decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 0, 1)]), "Strip"),
        (decoders.Sequence([decoders.ByteLevel(), decoders.Replace("x", "y")]), "Replace"),
    ],
)
def test_decoders_that_need_their_neighbors_are_refused_by_name(decoder, name, tmp_path):
    backend = spaced()
    backend.decoder = decoder
    with pytest.raises(TokenizerError, match=rf"decoder '{name}'"):
        HuggingFaceTokenizer.from_file(save(backend, tmp_path))


def sentencepiece_folder(folder, **config):
    (folder / "tokenizer.model").write_bytes(MODEL.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", **config}))
    return folder / "tokenizer.model"


def test_a_sentencepiece_folder_names_its_own_special_tokens(tmp_path):
    size = SentencePieceProcessor(str(MODEL)).get_piece_size()
    added = {str(size): {"content": "<|im_end|>", "special": True}, str(size + 1): {"content": "▁▁", "special": False}}
    file = sentencepiece_folder(tmp_path, bos_token="</s>", eos_token="<|im_end|>", added_tokens_decoder=added)
    tokenizer = SentencePieceTokenizer.from_file(file)
    assert (tokenizer.bos_id, tokenizer.eos_ids) == (2, (size,))
    assert tokenizer.encode("Hello<|im_end|>")[0::2] == [2, size]
    assert tokenizer.decode([size + 1]) == "  "
    (tmp_path / "saved").mkdir()
    tokenizer.save(tmp_path / "saved")
    again = SentencePieceTokenizer.from_file(tmp_path / "saved" / "tokenizer.model")
    for text in texts(["<|im_end|>", "</s>", "Hello"]):
        assert again.encode(text) == tokenizer.encode(text)
    none = sentencepiece_folder(tmp_path, bos_token=None)
    assert SentencePieceTokenizer.from_file(none).encode("Hello") == [22557]
    new = SentencePieceTokenizer.from_file(sentencepiece_folder(tmp_path, eos_token="<new>"))
    assert new.eos_ids == (size,) == tuple(new.encode("<new>", add_special=False))


@pytest.mark.parametrize("settings", [{"legacy": False}, {"legacy": False, "add_prefix_space": False}])
def test_sentencepiece_without_a_space_behind_special_tokens(settings, tmp_path):
    size = SentencePieceProcessor(str(MODEL)).get_piece_size()
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
    added = {str(size): flags | {"content": "<|im_start|>"}}
    file = sentencepiece_folder(tmp_path, added_tokens_decoder=added, **settings)
    ours, theirs = SentencePieceTokenizer.from_file(file), AutoTokenizer.from_pretrained(tmp_path)
    for text in ["<|im_start|>user\nhi", "user<|im_start|>user", "<s>user", " user", *texts(["<|im_start|>", "user"])]:
        text = re.sub(" +", " ", text)  # transformers merges two spaces into one token, sentencepiece does not
        assert ours.encode(text, add_special=False) == theirs.encode(text, add_special_tokens=False), text


def test_tokens_of_added_tokens_json_beside_a_sentencepiece_model(tmp_path):
    size = SentencePieceProcessor(str(MODEL)).get_piece_size()
    file = sentencepiece_folder(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|im_end|>": size, "<|im_start|>": size + 1}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    tokenizer = SentencePieceTokenizer.from_file(file)
    assert tokenizer.encode("<|im_start|><|im_end|>") == [1, size + 1, size]
    assert tokenizer.eos_ids == (size,)


@pytest.mark.parametrize("kind", [1, 4])
@pytest.mark.parametrize("text", ["<|im_end|>", "<|eot_id|>", "<end_of_turn>"])
def test_a_control_text_of_another_type_ends_a_turn(kind, text, tmp_path):
    processor = SentencePieceProcessor(str(MODEL))
    write_vocabulary(tmp_path / "vocabulary.gguf", processor, **{text: kind})
    tokenizer = gguf_tokenizer(tmp_path / "vocabulary.gguf")
    size = processor.get_piece_size()
    assert tokenizer.eos_ids == (2, size)
    assert tokenizer.encode(f"a{text}")[-1] == size
    assert tokenizer.decode([size]) == ""


def test_indentation_of_a_gguf_vocabulary_is_spaces(tmp_path):
    processor = SentencePieceProcessor(str(MODEL))
    write_vocabulary(tmp_path / "vocabulary.gguf", processor, **{"▁▁\n▁": 4})
    assert gguf_tokenizer(tmp_path / "vocabulary.gguf").decode([processor.get_piece_size()]) == "  \n "
