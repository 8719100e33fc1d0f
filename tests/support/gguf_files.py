"""Writing GGUF files with the gguf library: one tensor of a type, or the vocabulary of a sentencepiece model."""

import gguf
import numpy as np


def write_tensor(path, name, data, dtype):
    """Write one tensor; `data` are floats to quantize, or the bytes of blocks [rows, bytes]."""
    writer = gguf.GGUFWriter(path, "llama")
    kind = gguf.GGMLQuantizationType[dtype]
    raw = data if data.dtype == np.uint8 else gguf.quants.quantize(data, kind)
    writer.add_tensor(name, raw, raw_dtype=kind)
    finish(writer)


def write_vocabulary(path, processor, **extra):
    """Write pieces, scores and kinds as llama.cpp's converter does; `extra` are further tokens by text, with kinds."""
    writer = gguf.GGUFWriter(path, "llama")
    size = processor.get_piece_size()
    kinds = [
        2 if processor.is_unknown(token) else 3 if processor.is_control(token) else 6 if processor.is_byte(token) else 1
        for token in range(size)
    ]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([processor.id_to_piece(token) for token in range(size)] + list(extra))
    writer.add_token_scores([processor.get_score(token) for token in range(size)] + [-1000.0] * len(extra))
    writer.add_token_types(kinds + list(extra.values()))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    finish(writer)


def random_blocks(rows, width, dtype, seed):
    """Bytes of blocks [rows, bytes] whose every bit is random, but for scales, which are small numbers."""
    kind = gguf.GGMLQuantizationType[dtype]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (rows, width // elements, size), dtype=np.uint8)
    if dtype == "MXFP4":  # whose scales are powers of two
        blocks[:, :, 0] = random.integers(120, 124, blocks.shape[:2])
        return blocks.reshape(rows, -1)
    for at in {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}.get(dtype, (0,)):
        # So large that weights are as a fresh model's, whose standard deviation is a few hundredths.
        spread = {"Q8_0": 0.0004, "Q4_K": 0.0002, "Q5_K": 0.0001, "Q6_K": 0.00002}.get(dtype, 0.004)
        scales = random.uniform(0.5, 1.5, blocks.shape[:2]) * spread * (-1 if at == 2 and dtype[-1] == "1" else 1)
        blocks[:, :, at : at + 2] = scales.astype(np.float16)[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def write_llama(path, types, *, hidden=256, heads=4, kv_heads=2, layers=2, channels=512, vocabulary=1024):
    """Write a model with random weights; `types` says what its matrices are stored as, by the end of their names."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(256)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(channels)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    narrow = hidden // heads * kv_heads
    shapes = {"token_embd": (vocabulary, hidden), "output": (vocabulary, hidden)}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_q": (hidden, hidden),
                "attn_k": (narrow, hidden),
                "attn_v": (narrow, hidden),
                "attn_output": (hidden, hidden),
                "ffn_gate": (channels, hidden),
                "ffn_up": (channels, hidden),
                "ffn_down": (hidden, channels),
            }.items()
        }
    for seed, (name, (rows, width)) in enumerate(shapes.items()):
        dtype = types[name.rpartition(".")[2]]
        kind = gguf.GGMLQuantizationType[dtype]
        if dtype == "F32":
            data = np.random.default_rng(seed).normal(0, 0.05, (rows, width)).astype(np.float32)
        else:
            data = random_blocks(rows, width, dtype, seed)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=kind)
    for norm in ["output_norm", *[f"blk.{layer}.{name}_norm" for layer in range(layers) for name in ("attn", "ffn")]]:
        writer.add_tensor(f"{norm}.weight", np.ones(hidden, dtype=np.float32))
    finish(writer)


def finish(writer):
    """Write everything out."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
