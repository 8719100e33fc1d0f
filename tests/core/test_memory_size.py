"""What is said where memory runs out."""

import pytest
import torch

from plugtron.context.memory_size import explain_out_of_memory, free_memory
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
    with pytest.raises(SpecError, match=r"max_step_tokens, set model.quantization.*\(Tried to allocate 2 GiB\.\)"):
        raise_in(torch.OutOfMemoryError("Tried to allocate 2 GiB.\nMore"))
    assert free_memory(CPU) > 0
