"""What is said where memory runs out."""

import pytest
import torch

from plugtron.context.memory_size import check_memory, explain_out_of_memory, free_memory
from plugtron.contracts.decoder import AttentionState, ModelInfo
from plugtron.errors import SpecError

CPU = torch.device("cpu")


def test_what_found_no_room_is_said_with_numbers_and_a_remedy():
    with pytest.raises(SpecError, match=r"the graph of a step found no room on cpu, of whose [\d.]+ GiB [\d.]+ are"):
        raise_in(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it"))
    with pytest.raises(ZeroDivisionError):
        raise_in(ZeroDivisionError())


def raise_in(error):
    with explain_out_of_memory("the graph of a step", CPU):
        raise error


def test_a_remedy_names_options(capsys):
    with pytest.raises(
        SpecError,
        match=r"max_step_tokens, set model.quantization or model.kv_dtype: int8,.*\(Tried to allocate 2 GiB\.\)",
    ):
        raise_in(torch.OutOfMemoryError("Tried to allocate 2 GiB.\nMore"))
    assert free_memory(CPU) > 0


@pytest.mark.parametrize(("dtype", "ending"), [("bfloat16", "fewer, or set model.kv_dtype: int8"), ("int8", "fewer")])
def test_smaller_keys_and_values_are_a_remedy_once(dtype, ending):
    kept = AttentionState(kv_heads=8, head_dim=128, dtype=getattr(torch, dtype))
    info = ModelInfo(vocab_size=1, padded_vocab_size=1, hidden_size=1, max_positions=1, states=(kept,) * 32)
    with pytest.raises(SpecError, match=rf"of 10000000000 tokens take [\d.]+ GiB, .* GiB: {ending}$"):
        check_memory(info, tokens=10**10, device=CPU, remedy="fewer")
    check_memory(info, tokens=1, device=CPU, remedy="fewer")
