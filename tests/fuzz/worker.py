"""`python worker.py TARGET SEED SECONDS FOLDER`: mutate inputs and feed them to one reader, in a process of its own.

What a reader raises must be plugtron's own error. The input that is being tried lies in FOLDER/input, so that one which
ends the process, or takes all its memory or time, is there to be looked at.
"""

import argparse
import contextlib
import io
import itertools
import json
import pickle
import random
import resource
import sys
import time
import warnings
import zipfile
from pathlib import Path

from mutation import mutated, mutated_values

from plugtron.errors import PlugtronError

DATA = Path(__file__).parents[1] / "data"
#: Bytes of address space, and seconds that one input may take.
MEMORY, SLOW = 6 * 2**30, 20.0


def pickles(folder, chance):
    from plugtron.checkpoint.megatron.args import plain_arguments
    from plugtron.formats.inert_pickle import read_pickle

    seeds = [
        pickle.dumps({"args": argparse.Namespace(a=1, b=[1, (2, 3)], c={"d": {1, 2}})}, protocol)
        for protocol in range(5)
    ]
    for file in sorted((DATA / "megatron").rglob("*.pt"))[:4]:
        with zipfile.ZipFile(file) as archive:
            seeds += [archive.read(name) for name in archive.namelist() if name.endswith(".pkl")]
    seeds += [file.read_bytes() for file in sorted((DATA / "megatron").rglob(".metadata"))[:2]]
    binary = b"\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x93\x94\x95"
    opcodes = [bytes([code]) for code in b"()0.2BFGIJKLMNPQRSTUVX]abcdeghijlopqrstu}" + binary]

    def attempt():
        data = mutated(chance.choice(seeds), chance)
        if chance.random() < 0.3:
            data = b"\x80\x04" + b"".join(chance.choice(opcodes) for _ in range(chance.randrange(40))) + b"."
        (folder / "input").write_bytes(data)
        plain_arguments(read_pickle(data, folder / "input"), folder / "input")

    return attempt


def archives(folder, chance):
    from plugtron.formats.torch_archive import TorchArchive

    seeds = [
        file.read_bytes()
        for file in sorted((DATA / "megatron").rglob("*.pt"), key=lambda file: file.stat().st_size)[:4]
    ]

    def attempt():
        data = mutated(chance.choice(seeds), chance)
        if chance.random() < 0.2:  # several members, of one name or of odd ones
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
                for name in chance.choices(
                    ("a/data.pkl", "b/data.pkl", "data.pkl", "a/byteorder", "../x", "a/data/0"), k=3
                ):
                    archive.writestr(name, b"\x80\x02}.")
            data = buffer.getvalue()
        (folder / "input").write_bytes(data)
        TorchArchive(folder / "input").load()

    return attempt


def gguf_files(folder, chance):
    import gguf
    from sentencepiece import SentencePieceProcessor

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from support.gguf_files import write_llama

    from plugtron.checkpoint.gguf.reader import GGUFReader
    from plugtron.tokenizer.gguf import gguf_tokenizer
    from plugtron_wrappers.gguf.config import config_from_gguf

    types = ("token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    write_llama(folder / "seed.gguf", dict.fromkeys(types, "Q8_0"), layers=1, vocabulary=320)
    whole = (folder / "seed.gguf").read_bytes()
    processor = SentencePieceProcessor(str(DATA / "tokenizer.model"))
    kinds = [kind for kind in gguf.GGUFValueType if kind is not gguf.GGUFValueType.ARRAY]
    keys = {
        "llama.block_count": 1, "llama.context_length": 64, "llama.embedding_length": 64, "general.alignment": 32,
        "llama.attention.head_count": 4, "llama.rope.freq_base": 1e4, "llama.feed_forward_length": 64,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "llama", "split.count": 1,
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.add_bos_token": True,
        "llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 2.0, "tokenizer.chat_template": "x",
    }  # fmt: skip

    def attempt():
        path = folder / "input.gguf"
        if chance.random() < 0.5:
            path.write_bytes(mutated(whole[:4000], chance) + whole[4000:])
        else:
            writer = gguf.GGUFWriter(path, "llama")
            odd = chance.choice(list(keys))
            for key, value in keys.items():
                if key != odd and not isinstance(value, bool):
                    kind = {int: "UINT32", float: "FLOAT32", str: "STRING"}[type(value)]
                    writer.add_key_value(key, value, gguf.GGUFValueType[kind])
            kind = chance.choice(kinds)
            value = {"STRING": "x", "BOOL": True}.get(kind.name, chance.choice((0, 1, 100)))
            writer.add_key_value(odd, value, kind)
            tokens = [processor.id_to_piece(token) for token in range(300)]
            writer.add_token_list(tokens[: chance.choice((300, 300, 1, 3))])
            if chance.random() < 0.5:
                writer.add_token_scores([0.0] * chance.choice((300, 2)))
                writer.add_token_types([1] * chance.choice((300, 2)))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.close()
        (folder / "input").write_bytes(path.read_bytes())
        description = GGUFReader.describe(path)
        if description is not None and "tokenizer.ggml.model" in description.configuration:
            gguf_tokenizer(path).encode("a text")
        if description is not None:
            config_from_gguf(description, GGUFReader(path))

    return attempt


def folders(folder, chance):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from plugtron.checkpoint.safetensors import SafetensorsReader
    from plugtron.tokenizer.huggingface import HuggingFaceTokenizer
    from plugtron_wrappers.llama.huggingface import config_from_huggingface

    backend = Tokenizer(models.BPE(vocab={character: number for number, character in enumerate("abcdefg")}, merges=[]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>"])
    files = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 9, "hidden_size": 16,
            "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32},
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "eos_token_id": [1],
        },
        "tokenizer_config.json": {
            "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "add_bos_token": True,
            "added_tokens_decoder": {"7": {"content": "<s>", "special": True}}, "chat_template": "{{ messages }}",
            "additional_special_tokens": ["<x>"], "tokenizer_class": "LlamaTokenizer", "legacy": False,
        },
        "generation_config.json": {"eos_token_id": [1], "temperature": 0.5, "top_k": 3},
        "special_tokens_map.json": {"bos_token": "<s>", "extra_special_tokens": {"image_token": "<i>"}},
        "added_tokens.json": {"<y>": 9},
        "tokenizer.json": json.loads(backend.to_str()),
        "model.safetensors.index.json": {"weight_map": {"a": "model-1.safetensors"}},
    }  # fmt: skip

    def attempt():
        odd = chance.choice(list(files))
        changed = {name: mutated_values(values, chance) if name == odd else values for name, values in files.items()}
        for name, values in changed.items():
            text = json.dumps(values)
            if name == odd and chance.random() < 0.1:
                text = mutated(text.encode(), chance).decode("utf-8", errors="surrogateescape")
            (folder / name).write_bytes(text.encode("utf-8", errors="surrogateescape"))
        (folder / "input").write_text(json.dumps({odd: changed[odd]}))
        description = SafetensorsReader.describe(folder)
        HuggingFaceTokenizer.from_file(folder / "tokenizer.json").encode("abc<s>")
        # Any other architecture is refused by the registry, before a wrapper is asked.
        if description is not None and description.architecture == "LlamaForCausalLM":
            config_from_huggingface(description, frozenset())

    return attempt


def tokenizer_files(folder, chance):
    import base64

    from plugtron.contracts import Parts
    from plugtron.tokenizer.options import TiktokenOptions
    from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer
    from plugtron.tokenizer.tiktoken import TiktokenTokenizer

    model = (DATA / "tokenizer.model").read_bytes()
    ranks = "".join(f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)).encode()

    def attempt():
        if chance.random() < 0.3:
            data = mutated(ranks, chance)
            (folder / "input").write_bytes(data)
            options = TiktokenOptions(path=str(folder / "input"))
            TiktokenTokenizer.assemble(Parts(runtime=None), options).encode("a text")
            return
        data = mutated(model[:3000], chance) + model[3000:] if chance.random() < 0.5 else mutated(model[-300:], chance)
        (folder / "input").write_bytes(data)
        SentencePieceTokenizer.from_file(folder / "input").encode("a <s>text")

    return attempt


def specs(folder, chance):
    import yaml

    from plugtron.plugin.manager import PluginManager
    from plugtron.spec.load import read
    from plugtron.spec.resolution import resolve

    manager = PluginManager(builtins_only=True)
    values = {
        "version": 1,
        "model": {"checkpoint": str(DATA / "megatron" / "gpt_learned"), "dtype": "float32"},
        "parallel": {"tensor": 1, "timeout": 5.0},
        "engine": {"name": "dynamic", "options": {"blocks": 8, "block_size": 4}},
        "samplers": ["default", {"name": "top_k", "options": {}}],
        "sampling": {"temperature": 0.5, "stop": ["x"], "logit_bias": {"5": 1.0}},
        "prompts": ["a", [1, 2], {"messages": [{"role": "user", "content": "x"}], "tools": [{}], "sampling": {"n": 2}}],
        "output": {"file": "out.jsonl"},
        "chat_template_kwargs": {"enable_thinking": False},
        "plugins": {"require": [], "disable": []},
    }

    def attempt():
        changed = mutated_values(values, chance)
        name, text = chance.choice(
            [
                ("input.yaml", yaml.safe_dump(changed)),
                ("input.json", json.dumps(changed)),
                ("input.yaml", json.dumps(changed)),
            ]
        )
        data = text.encode("utf-8", errors="surrogatepass")
        data = mutated(data, chance) if chance.random() < 0.4 else data
        (folder / name).write_bytes(data)
        (folder / "input").write_bytes(data)
        resolve(read(folder / name), manager)

    return attempt


def templates(folder, chance):
    from plugtron.request.chat_options import ChatOptions
    from plugtron.tokenizer.chat import render_chat
    from plugtron.tokenizer.ids import NullTokenizer

    tokenizer = NullTokenizer(10)
    pieces = [
        "{% for a in range(9999) %}", "{% endfor %}", "{{ messages }}", "{{ 'x' * 99999999 }}", "{% if messages %}",
        "{% endif %}", "{% set x = 'a' %}", "{% set ns = namespace(a='b') %}", "{% set ns.a = ns.a ~ ns.a %}",
        "{{ x }}", "{{ messages | tojson(indent=2) }}", "{% macro m(a) %}", "{% endmacro %}", "{{ m(1) }}",
        "{{ 9 ** 9 ** 9 }}", "{{ range(99999) | list | join('x') }}", "{{ 'a'.replace('a', 'b' * 99999) }}",
        "{{ x.__class__ }}", "{{ '%99999d' | format(1) }}", "{% generation %}", "{% endgeneration %}",
        "{{ [1, 2] | sum }}", "{{ cycler(1) }}", "{{ raise_exception('no') }}", "{{ strftime_now('%Y') }}",
        "{{ messages[0].content[::-1] }}", "{% break %}", "{{ dict(a=1) | dictsort }}", "{{ 'a b' | wordwrap(1) }}",
        "{{ x | xmlattr }}", "{{ 1 // 0 }}", "{{",
    ]  # fmt: skip

    def attempt():
        template = "".join(chance.choices(pieces, k=chance.randrange(1, 15)))
        (folder / "input").write_text(template)
        render_chat(tokenizer, [{"role": "user", "content": "hi"}], ChatOptions(chat_template=template))

    return attempt


def answers(folder, chance):
    """Whatever models write: no parser raises, and pieces are what the whole is."""
    import re

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from parsing.recorded import CLASSES, FIXTURES, parser_name

    from plugtron.contracts import ParsedAnswer

    recorded = {name: [each for each in FIXTURES if parser_name(each) == name] for name in CLASSES}
    recorded["think"] = recorded["hermes"]
    prompts = ("", "<think>", "[THINK]", "<|open|>think<|sep|>", "<|start|>assistant", "<|channel>thought\n")
    odd = (
        *"{}[]()\"\\'\n ;:,=<>",
        "null",
        "1e999",
        "NaN",
        "\ud800",
        "日本",
        '{"name": "f", "arguments": {}}',
        "f(a=1)",
    )

    def parsed(made, tools, prompt, pieces):
        parser = made(tools, prompt)
        deltas = [delta for piece in pieces for delta in parser.push(piece)]
        return ParsedAnswer.of([*deltas, *parser.finish()])

    def attempt():
        name, made = chance.choice(list(CLASSES.items()))
        fixture = chance.choice(recorded[name])
        others = "".join(each.raw_output for each in chance.choices(recorded[name], k=5))
        marks = [*odd, *re.findall(r"<[^<>\n]{1,40}>|\[[A-Z_/]+\]|\w+=|call:\w+", others)]
        text = fixture.raw_output
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(("", *marks)) + text[at + chance.choice((0, 0, 1, 12)) :]
        if chance.random() < 0.5:
            text = "".join(chance.choices(marks, k=chance.randrange(1, 25)))
        (folder / "input").write_text(repr(text))
        tools, prompt = chance.choice((fixture.tools, ())), chance.choice(prompts)
        whole = parsed(made, tools, prompt, [text])
        cuts = sorted({0, len(text), *(chance.randrange(len(text) + 1) for _ in range(8))})
        for pieces in (text, [text[a:b] for a, b in itertools.pairwise(cuts)]):
            assert parsed(made, tools, prompt, pieces) == whole, (name, prompt, text)

    return attempt


TARGETS = (pickles, archives, gguf_files, folders, tokenizer_files, specs, templates, answers)


def main(name, seed, seconds, folder):
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    folder, chance = Path(folder), random.Random(int(seed))
    attempt = {target.__name__: target for target in TARGETS}[name](folder, chance)
    end, tried = time.monotonic() + float(seconds), 0
    while time.monotonic() < end or not tried:
        begin = time.process_time()
        with contextlib.suppress(PlugtronError):
            attempt()
        taken = time.process_time() - begin
        assert taken < SLOW, f"{taken:.0f} s of processor time for one input"
        tried += 1
    print(f"{name}: {tried} inputs")


if __name__ == "__main__":
    main(*sys.argv[1:])
