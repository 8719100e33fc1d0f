"""Layers of multi-token prediction compute what Megatron's do, and are refused where they cannot."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from support import over_ranks

from plugtron.checkpoint import MegatronReader
from plugtron.context import StaticInferenceContext
from plugtron.contracts import ModelOptions, ScheduledSequence, StepPlan
from plugtron.errors import CheckpointError, SpecError
from plugtron.execution import EagerBackend, NativeBackend
from plugtron.parallel import Runtime
from plugtron_controllers.speculative.mtp import mtp_drafter
from plugtron_wrappers.gpt import GPTWrapper

CHECKPOINTS = Path(__file__).parents[1] / "data" / "megatron"
EXECUTIONS = {"native": NativeBackend, "eager": EagerBackend}


def wrapper_of(folder, execution="eager", runtime=None):
    options = ModelOptions(execution=EXECUTIONS[execution]())
    runtime = runtime or Runtime.create(dtype="float32")
    return GPTWrapper(runtime, MegatronReader(folder), model_options=options)


def whole_row(tokens, draws=True):
    size = len(tokens)
    return StepPlan(
        step=0, rows=(ScheduledSequence(0, 0, size, size, tuple(tokens), size if draws else 0),), hidden={0: size}
    )


def all_predictions(wrapper, prompt):
    """Of each depth, this rank's logits of all positions whose token ahead is in the prompt."""
    modules = wrapper.mtp_modules(8)
    wrapper.agree()
    context = StaticInferenceContext(wrapper.info, wrapper.runtime, slots=1, max_length=64)
    wrapper.prep_model_for_inference(context)
    batch = wrapper.prep_inference_input(whole_row(prompt, draws=False), context)
    hidden, found = wrapper.run_with_hidden_states(batch).hidden, []
    for depth, module in enumerate(modules, start=1):
        own = StaticInferenceContext(module.info, wrapper.runtime, slots=1, max_length=64)
        module.prep_model_for_inference(own)
        batch = module.prep_inference_input(whole_row(prompt[depth:]), own)
        places = torch.arange(depth, len(prompt))
        output = module.predict(batch, places, hidden[: len(prompt) - depth])
        hidden = output.hidden
        found.append(wrapper.runtime.tensor.gather(output.logits, axis=1))
    return found


def check_against_megatron(name, execution, runtime=None):
    reference = json.loads((CHECKPOINTS / name / "reference.json").read_text())["reference"]
    for entry in reference:
        found = all_predictions(wrapper_of(CHECKPOINTS / name, execution, runtime), entry["prompt_tokens"])
        assert len(found) == len(entry["mtp_logits"])
        for logits, last, likely in zip(found, entry["mtp_logits"], entry["mtp_most_likely"], strict=True):
            if logits is not None:
                assert (logits[-1] - torch.tensor(last)).abs().max() < 1e-4
                assert logits.argmax(1).tolist() == likely


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", ["mtp", "mtp_tp2_legacy"])
def test_logits_are_megatrons(name, execution):
    check_against_megatron(name, execution)


@pytest.mark.wide
def test_logits_are_megatrons_over_ranks():
    over_ranks.run(__file__, 2)


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

    folder, entry = broken(change), json.loads((CHECKPOINTS / "mtp_tp2_legacy" / "reference.json").read_text())
    entry = entry["reference"][0]
    (found,) = all_predictions(wrapper_of(folder), entry["prompt_tokens"])
    assert (found[-1] - torch.tensor(entry["mtp_logits"][0])).abs().max() < 1e-4


if __name__ == "__main__":
    for which in ("mtp", "mtp_tp2_legacy"):
        for how in EXECUTIONS:
            check_against_megatron(which, how, Runtime.create(dtype="float32", tensor=2))
