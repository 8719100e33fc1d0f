"""Memory of keys and values takes what is written, not what might be."""

import os
import sys
from pathlib import Path

import pytest
import torch

from plugtron.context import StaticInferenceContext
from plugtron.contracts.decoder import AttentionState, ModelInfo
from plugtron.parallel import Runtime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages of other systems are not numpy's to choose")

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_a_token_in_long_slots_takes_a_page_for_each_head():
    kept = AttentionState(kv_heads=8, head_dim=128, dtype=torch.bfloat16)
    info = ModelInfo(vocab_size=1, padded_vocab_size=1, hidden_size=1, max_positions=1 << 14, states=(kept,) * 4)
    context = StaticInferenceContext(info, Runtime.create(device="cpu"), slots=4, max_length=1 << 14)
    before = resident()
    for layer in context.layers:
        for part in layer.parts:
            part[1:3, :, 0] = 1
    pages = 4 * 2 * 2 * 8
    assert resident() - before < 4 * pages * PAGE, "2 MiB for each would be 256 MiB"
    assert all(not part[3].any() and not part[1, :, 1:].any() for layer in context.layers for part in layer.parts)
