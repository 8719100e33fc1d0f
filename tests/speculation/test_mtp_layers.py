"""Layers of multi-token prediction compute what Megatron's do, and are refused where they cannot."""

import shutil
from pathlib import Path

import pytest
import torch
from support import mtp_logits
from support.commands import ranks
from support.mtp_logits import (
    CHECKPOINTS,
    EXECUTIONS,
    NAMES,
    check_against_megatron,
    predictions,
    reference,
    wrapper_of,
)

from plugtron.errors import CheckpointError, SpecError
from plugtron_controllers.speculative.mtp import mtp_drafter


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", [*NAMES, "mtp_experts_legacy"])
def test_logits_are_megatrons(name, execution):
    check_against_megatron(name, execution)


@pytest.mark.wide
def test_logits_are_megatrons_over_ranks():
    said = ranks(2, Path(mtp_logits.__file__), 2, timeout=240)
    assert [text.split() for text in said] == [["equal"]] * 2


@pytest.fixture
def broken(tmp_path):
    """A function that writes a legacy checkpoint again, with its parameters and arguments changed."""

    def make(change):
        folder = shutil.copytree(CHECKPOINTS / "mtp_tp2_legacy", tmp_path / "broken")
        for file in folder.glob("iter_*/mp_rank_*/*.pt"):
            saved = torch.load(file, weights_only=False)
            change(saved["model"], saved["args"])
            torch.save(saved, file)
        return folder

    return make


def test_a_missing_tensor_is_refused_by_name(broken):
    folder = broken(lambda tensors, _: tensors.pop("mtp.layers.0.hnorm.weight"))
    with pytest.raises(CheckpointError, match=r"tensor mtp\.layers\.0\.hnorm\.weight is missing"):
        wrapper_of(folder).mtp_modules(1)


def test_a_tensor_of_another_shape_is_refused_by_name(broken):
    def cut(tensors, _):
        tensors["mtp.layers.0.final_layernorm.weight"] = torch.ones(31)

    with pytest.raises(CheckpointError, match=r"mtp\.layers\.0\.final_layernorm\.weight in .* has shape \[31\]"):
        wrapper_of(broken(cut)).mtp_modules(1)


def test_a_tensor_of_another_computation_is_refused_by_name(broken):
    def add(tensors, _):
        tensors["mtp.layers.0.eh_proj.bias"] = torch.ones(16)

    with pytest.raises(CheckpointError, match=r"tensor mtp\.layers\.0\.eh_proj\.bias in .* has no place"):
        wrapper_of(broken(add)).mtp_modules(1)


def test_a_checkpoint_without_layers_is_refused():
    wrapper = wrapper_of(CHECKPOINTS / "gpt_rope_swiglu")
    with pytest.raises(SpecError, match=r"controller\.options\.mtp: .*gpt_rope_swiglu has no layers of multi-token"):
        mtp_drafter(wrapper, 4)


def test_later_names_and_a_repeated_layer(broken):
    """Megatron renamed the layer in its modules, and applies one layer at every depth if it is told to."""

    def change(tensors, arguments):
        for name in [name for name in tensors if ".transformer_layer." in name]:
            tensors[name.replace(".transformer_layer.", ".mtp_model_layer.")] = tensors.pop(name)
        arguments.mtp_num_layers, arguments.mtp_use_repeated_layer = 3, True

    entry = reference("mtp_tp2_legacy")[0]
    (found,) = predictions(wrapper_of(broken(change)), entry["prompt_tokens"])
    assert (found[-1] - torch.tensor(entry["mtp_logits"][0])).abs().max() < 1e-4
