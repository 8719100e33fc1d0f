"""Packing, what it costs, and a model that runs with packed weights."""

import pytest
import torch
from plugtron_q3.method import Q3
from plugtron_q3.packed import Q3Weight, pack, unpack

from plugtron import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=8)


def test_packing_loses_nothing():
    values = torch.randint(0, 8, (5, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    packed = pack(values)
    assert packed.shape == (5, 24)
    assert torch.equal(unpack(packed), values)


@pytest.mark.parametrize("group", [16, 32, 64, 128])
def test_every_weight_is_within_half_a_step(group):
    weight = torch.randn(6, 256, generator=torch.Generator().manual_seed(group))
    held = Q3Weight.of(weight, group)
    assert held.shape == weight.shape
    assert held.nbytes == 6 * 256 * 3 // 8 + 6 * (256 // group) * 4
    step = held.scales.float().repeat_interleave(group, dim=1)
    assert ((held.dense() - weight).abs() <= step * 0.5 + 4e-3).all()
    assert torch.equal(
        Q3Weight.stacked([Q3Weight.of(weight[:2], group), Q3Weight.of(weight[2:], group)]).dense(), held.dense()
    )
    assert torch.equal(Q3Weight.of(torch.ones(2, 256), group).dense(), torch.ones(2, 256))


def test_the_head_and_odd_widths_stay():
    assert Q3().hold("head", torch.zeros(4, 64)) is None
    assert Q3().hold("layer", torch.zeros(4, 48)) is None


def test_a_model_keeps_its_weights_packed():
    """`auto` says that torch runs it; what a step reads is a fifth of what float32 has."""
    options = {"dtype": "float32", "overrides": {"engine.options.max_sequence_length": 64}}
    with LLM("smollm2-135m-instruct", **options) as llm:
        plain = llm.generate("The capital of France is", GREEDY)
    options["overrides"]["model.quantization"] = {"name": "q3", "options": {"group": 16}}
    with pytest.warns(UserWarning, match="q3 in groups of 16 runs through torch.*form of its own"):
        llm = LLM("smollm2-135m-instruct", **options)
    with llm:
        held = llm.generate("The capital of France is", GREEDY)
        wrapper = llm.session.parts.wrapper
        head = wrapper.info.padded_vocab_size * wrapper.info.hidden_size * 4
        layers = wrapper.execution.weight_bytes - head
        assert layers < 0.2 * 4 * wrapper.execution.layer_weights
    assert len(held.tokens) == 8
    assert held.tokens != plain.tokens
