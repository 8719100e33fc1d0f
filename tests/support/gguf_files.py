"""Writing GGUF files with the gguf library: one tensor of a type, or the vocabulary of a sentencepiece model."""

import gguf
import numpy as np


def write_tensor(path, name, data, dtype):
    """Write one tensor; `data` are floats to quantise, or the bytes of blocks [rows, bytes]."""
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


def finish(writer):
    """Write everything out."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
