"""Run on every rank of a job: load models and print, for each and per rank, the bytes that it read and holds."""

import json
import sys
from pathlib import Path

from plugtron.checkpoint.megatron import legacy, torch_dist
from plugtron.checkpoint.megatron.reader import MegatronReader
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.context.static import StaticInferenceContext
from plugtron.contracts.execution import ModelOptions
from plugtron.execution.eager_backend import EagerBackend
from plugtron.formats.torch_archive import TorchArchive
from plugtron.parallel.runtime import Runtime
from plugtron_wrappers.gpt import GPTWrapper
from plugtron_wrappers.llama import LlamaWrapper

EAGER = ModelOptions(execution=EagerBackend())


class CountingReader(SafetensorsReader):
    """Counts what is read."""

    count = 0

    def read(self, name, part=()):
        tensor = super().read(name, part)
        self.count += tensor.nbytes
        return tensor


class CountingArchive(TorchArchive):
    """Counts what is read of files that torch.save wrote."""

    count = 0

    def read(self, stored, part):
        tensor = super().read(stored, part)
        CountingArchive.count += tensor.nbytes
        return tensor


def counted(folder, runtime):
    """A wrapper, and how many bytes have been read for it so far."""
    if (folder / "config.json").is_file():
        reader = CountingReader(folder)
        return LlamaWrapper(runtime, reader, model_options=EAGER), lambda: reader.count
    CountingArchive.count = 0
    for module in (torch_dist, legacy):
        module.TorchArchive = CountingArchive
    return GPTWrapper(runtime, MegatronReader(folder), model_options=EAGER), lambda: CountingArchive.count


def shares(folder, ranks):
    runtime = Runtime.create(tensor=ranks)
    wrapper, count = counted(folder, runtime)
    context = StaticInferenceContext(wrapper.info, runtime, slots=1, max_length=8)
    wrapper.prep_model_for_inference(context)
    decoder = wrapper._execution._decoder
    held = {name: parameter.nbytes for name, parameter in decoder.named_parameters()}
    everyone = runtime.model.all_gather_json({"read": count(), "held": held})
    runtime.close()
    return everyone, runtime.rank == 0


if __name__ == "__main__":
    found = {folder: shares(Path(folder), int(sys.argv[1])) for folder in sys.argv[2:]}
    if all(first for _, first in found.values()):
        print(json.dumps({folder: everyone for folder, (everyone, _) in found.items()}))
