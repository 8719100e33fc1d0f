"""A GGUF file of random weights in the shape of a known model, in Q4_K_M's mixture of types.

    python benchmarks/random_gguf.py SHAPE FILE

Every block is random bytes with scales that give the weights about the spread of a trained model's, so that a step's
numbers stay finite. The vocabulary is that of bytes with names for the rest: prompts are token ids.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

#: Rows are written so many bytes at a time.
_AT_ONCE = 2**26


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of a model: sizes, and `experts` of which a token goes to two."""

    architecture: str
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    tied: bool = True
    experts: int = 0


SHAPES = {
    "llama-0.1b": Shape(
        architecture="llama", vocabulary=49_152, hidden=768, layers=12, heads=12, kv_heads=4, head=64, inner=2048
    ),
    "llama-0.4b": Shape(
        architecture="llama", vocabulary=49_152, hidden=1024, layers=24, heads=16, kv_heads=8, head=64, inner=4096
    ),
    "llama-3.1-8b": Shape(
        architecture="llama",
        vocabulary=128_256,
        hidden=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        head=128,
        inner=14_336,
        tied=False,
    ),
    "llama-3.2-1b": Shape(
        architecture="llama", vocabulary=128_256, hidden=2048, layers=16, heads=32, kv_heads=8, head=64, inner=8192
    ),
    "qwen3-4b": Shape(
        architecture="qwen3", vocabulary=151_936, hidden=2560, layers=36, heads=32, kv_heads=8, head=128, inner=9728
    ),
    # Eight experts and two of them for a token, as Mixtral, in 4 GB.
    "mixtral-7b": Shape(
        architecture="llama",
        vocabulary=32_000,
        hidden=2048,
        layers=24,
        heads=32,
        kv_heads=8,
        head=64,
        inner=5632,
        tied=False,
        experts=8,
    ),
    "tiny": Shape(architecture="llama", vocabulary=512, hidden=256, layers=2, heads=4, kv_heads=2, head=64, inner=512),
    "tiny-mixtral": Shape(
        architecture="llama", vocabulary=512, hidden=256, layers=2, heads=4, kv_heads=2, head=64, inner=512, experts=4
    ),
}


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], Type]]:
    """Names, shapes and types as llama.cpp's Q4_K_M has them: Q6_K for the head, and in half of the layers for two."""
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    wide = (shape.experts,) if shape.experts else ()
    suffix = "_exps" if shape.experts else ""
    yield "token_embd.weight", (shape.vocabulary, shape.hidden), Type.Q6_K if shape.tied else Type.Q4_K
    if not shape.tied:
        yield "output.weight", (shape.vocabulary, shape.hidden), Type.Q6_K
    yield "output_norm.weight", (shape.hidden,), Type.F32
    for layer in range(shape.layers):
        eighth = shape.layers // 8
        careful = layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2
        more = Type.Q6_K if careful else Type.Q4_K
        rows = [
            ("attn_norm", (shape.hidden,), Type.F32),
            ("ffn_norm", (shape.hidden,), Type.F32),
            ("attn_q", (queries, shape.hidden), Type.Q4_K),
            ("attn_k", (keys, shape.hidden), Type.Q4_K),
            ("attn_v", (keys, shape.hidden), more),
            ("attn_output", (shape.hidden, queries), Type.Q4_K),
            (f"ffn_gate{suffix}", (*wide, shape.inner, shape.hidden), Type.Q4_K),
            (f"ffn_up{suffix}", (*wide, shape.inner, shape.hidden), Type.Q4_K),
            (f"ffn_down{suffix}", (*wide, shape.hidden, shape.inner), more),
        ]
        if shape.architecture == "qwen3":
            rows += [("attn_q_norm", (shape.head,), Type.F32), ("attn_k_norm", (shape.head,), Type.F32)]
        if shape.experts:
            rows.append(("ffn_gate_inp", (shape.experts, shape.hidden), Type.F32))
        for name, sizes, type_ in rows:
            yield f"blk.{layer}.{name}.weight", sizes, type_


def blocks(type_: Type, count: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Random blocks [count, bytes], of weights about 1 / sqrt(width)."""
    _, size = gguf.GGML_QUANT_SIZES[type_]
    found = generator.integers(0, 256, (count, size), dtype=np.uint8)
    # The root of the mean square of codes times numbers: 36 * 4.6 with the mean taken off, and 73.9 * 18.5.
    if type_ == Type.Q4_K:
        factor = width**-0.5 / (36.0 * 4.6)
        found[:, :4] = np.array([factor, 7.5 * factor], dtype=np.float16).view(np.uint8)
        # Scales and minimums of a group are the same, so that its mean is zero: bytes 0 to 3 are 4 to 7.
        found[:, 8:12] = found[:, 4:8]
        found[:, 12:16] = (found[:, 12:16] & 15) * 17
    else:
        found[:, 208:210] = np.array([width**-0.5 / (73.9 * 18.5)], dtype=np.float16).view(np.uint8)
    return found


def data(sizes: tuple[int, ...], type_: Type, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """The bytes of a tensor, some at a time."""
    count = int(np.prod(sizes))
    if type_ == Type.F32:
        small = len(sizes) > 1
        yield generator.standard_normal(sizes, np.float32) * 0.02 if small else np.ones(sizes, dtype=np.float32)
        return
    elements, size = gguf.GGML_QUANT_SIZES[type_]
    left = count // elements
    while left:
        some = min(left, _AT_ONCE // size)
        yield blocks(type_, some, sizes[-1], generator)
        left -= some


def describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Write what a reader has to know."""
    writer.add_block_count(shape.layers)
    writer.add_context_length(40_960)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(2)
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters += range(256, 256 + 256 - len(letters))  # as GPT-2 writes the bytes that cannot be seen
    names = [chr(letter) for letter in letters]
    names += ["ab", *(f"<{number}>" for number in range(shape.vocabulary - len(names) - 1))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([gguf.TokenType.NORMAL] * shape.vocabulary)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(shape.vocabulary - 1)


def write(shape: Shape, file: Path) -> None:
    """Write the file."""
    writer = gguf.GGUFWriter(file, shape.architecture)
    describe(writer, shape)
    generator = np.random.default_rng(1)
    every = list(tensors(shape))
    for name, sizes, type_ in every:
        elements, size = gguf.GGML_QUANT_SIZES[type_]
        total = int(np.prod(sizes)) // elements * size
        stored = sizes if type_ == Type.F32 else (*sizes[:-1], sizes[-1] // elements * size)
        writer.add_tensor_info(name, stored, np.dtype(np.float32 if type_ == Type.F32 else np.uint8), total, type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    (output,) = writer.fout
    writer.write_padding(output, output.tell())
    for _, sizes, type_ in every:
        for piece in data(sizes, type_, generator):
            output.write(piece.tobytes())
        writer.write_padding(output, output.tell())
    writer.close()


def main() -> None:
    """Write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    write(SHAPES[asked.shape], asked.file)


if __name__ == "__main__":
    main()
