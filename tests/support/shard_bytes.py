"""Run under torchrun: load a model and print, per rank, the bytes that it read and that it holds."""

import json
import sys
from pathlib import Path

from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.context.static import StaticInferenceContext
from plugtron.parallel.runtime import Runtime
from plugtron_wrappers.llama import LlamaWrapper


class CountingReader(SafetensorsReader):
    """Counts what is read."""

    count = 0

    def read(self, name, part=()):
        tensor = super().read(name, part)
        self.count += tensor.nbytes
        return tensor


def main(folder, ranks):
    runtime = Runtime.create(tensor=ranks)
    reader = CountingReader(folder)
    wrapper = LlamaWrapper(runtime, reader)
    context = StaticInferenceContext(wrapper.info, runtime, slots=1, max_length=8)
    wrapper.prep_model_for_inference(context)
    decoder = wrapper._execution._decoder
    held = {name: parameter.nbytes for name, parameter in decoder.named_parameters()}
    everyone = runtime.model.all_gather_json({"read": reader.count, "held": held})
    if runtime.rank == 0:
        print(json.dumps(everyone))
    runtime.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
