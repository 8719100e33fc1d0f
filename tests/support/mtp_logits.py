"""Logits of MTP layers, to be compared with Megatron's; run on every rank of a job: mtp_logits.py RANKS."""

import json
import sys
from pathlib import Path

import torch

from plugtron.checkpoint import MegatronReader
from plugtron.context import StaticInferenceContext
from plugtron.contracts import ModelOptions, ScheduledSequence, StepPlan
from plugtron.execution import EagerBackend, NativeBackend
from plugtron.parallel import Runtime
from plugtron_wrappers.gpt import GPTWrapper

CHECKPOINTS = Path(__file__).parents[1] / "data" / "megatron"
NAMES = ["mtp", "mtp_tp2_legacy"]
EXECUTIONS = {"native": NativeBackend, "eager": EagerBackend}


def reference(name):
    return json.loads((CHECKPOINTS / name / "reference.json").read_text())["reference"]


def wrapper_of(folder, execution="eager", runtime=None):
    options = ModelOptions(execution=EXECUTIONS[execution]())
    return GPTWrapper(runtime or Runtime.create(dtype="float32"), MegatronReader(folder), model_options=options)


def whole(tokens, logits):
    """A step of one sequence from its beginning, of which `logits` positions want logits, and all hidden states."""
    size = len(tokens)
    return StepPlan(step=0, rows=(ScheduledSequence(0, 0, size, size, tuple(tokens), logits),), hidden={0: size})


def memory(module):
    context = StaticInferenceContext(module.info, module.runtime, slots=1, max_length=64)
    module.prep_model_for_inference(context)
    return context


def ready(wrapper):
    """A wrapper's MTP modules, with the contexts of the wrapper and of each of them."""
    modules = wrapper.mtp_modules(8)
    wrapper.agree()
    return modules, memory(wrapper), [memory(module) for module in modules]


def final_states(wrapper, context, tokens):
    return wrapper.run_with_hidden_states(wrapper.prep_inference_input(whole(tokens, 0), context)).hidden


def predictions(wrapper, prompt):
    """Of each depth, the logits of all positions whose token ahead is in the prompt; None on ranks that gather none."""
    modules, context, contexts = ready(wrapper)
    hidden, found = final_states(wrapper, context, prompt), []
    for depth, (module, own) in enumerate(zip(modules, contexts, strict=True), start=1):
        ahead = prompt[depth:]
        batch = module.prep_inference_input(whole(ahead, len(ahead)), own)
        output = module.predict(batch, torch.arange(depth, len(prompt)), hidden[: len(ahead)])
        found.append(wrapper.runtime.tensor.gather(output.logits, axis=1))
        hidden = output.hidden
    return found


def check_against_megatron(name, execution, runtime=None):
    for entry in reference(name):
        found = predictions(wrapper_of(CHECKPOINTS / name, execution, runtime), entry["prompt_tokens"])
        assert len(found) == len(entry["mtp_logits"])
        for logits, last, likely in zip(found, entry["mtp_logits"], entry["mtp_most_likely"], strict=True):
            if logits is not None:
                assert (logits[-1] - torch.tensor(last)).abs().max() < 1e-4
                assert logits.argmax(1).tolist() == likely


if __name__ == "__main__":
    ranks = Runtime.create(dtype="float32", tensor=int(sys.argv[1]))
    for which in NAMES:
        for how in EXECUTIONS:
            check_against_megatron(which, how, ranks)
    print("equal")
