"""Every type of GGUF block, whole and in parts, against the gguf library."""

import gguf
import numpy as np
import pytest
import torch
from support.gguf_files import write_tensor

from plugtron.checkpoint.gguf.reader import _TYPES, GGUFReader

QUANTIzABLE = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
ROWS, WIDTH = 12, 512
PARTS = [
    (),
    (slice(3, 7),),
    (slice(None), slice(64, 128)),
    (slice(2, 9), slice(30, 290)),
    (slice(5, 5),),
    (slice(None), slice(7, 7)),
]


def test_all_types_are_listed_with_their_sizes():
    for number, (name, elements, size) in _TYPES.items():
        kind = gguf.GGMLQuantizationType[name]
        assert kind == number
        assert gguf.GGML_QUANT_SIZES[kind] == (elements, size)


@pytest.mark.parametrize("dtype", [name for name, _, _ in _TYPES.values()])
def test_reading(dtype, tmp_path):
    generator = np.random.default_rng(0)
    kind = gguf.GGMLQuantizationType[dtype]
    if dtype in QUANTIzABLE:
        data = generator.standard_normal((ROWS, WIDTH), dtype=np.float32)
        raw = gguf.quants.quantize(data, kind)
    else:  # any bytes are blocks; scales that are no numbers compare as such
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        raw = data = generator.integers(0, 255, (ROWS, WIDTH // elements * size), dtype=np.uint8)
    write_tensor(tmp_path / "one.gguf", "t", data, dtype)
    with np.errstate(all="ignore"):
        expected = torch.from_numpy(gguf.quants.dequantize(raw, kind).astype(np.float32))
        reader = GGUFReader(tmp_path / "one.gguf")
        assert reader.tensors["t"].shape == (ROWS, WIDTH)
        for part in PARTS:
            found = reader.read("t", part).float()
            assert torch.equal(found.nan_to_num(), expected[part].nan_to_num()), part
