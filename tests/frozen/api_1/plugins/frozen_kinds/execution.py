import sys

import torch

from plugtron.contracts import Execution, ExecutionBackend


class LoudExecution(Execution):
    def __init__(self, decoder, source):
        self.decoder = decoder
        self.last = source.layers.stop == source.num_layers
        self.hidden_dtype = source.runtime.dtype

    @property
    def weight_bytes(self):
        return sum(parameter.nbytes for parameter in self.decoder.parameters())

    @property
    def layer_weights(self):
        return sum(parameter.numel() for parameter in self.decoder.parameters())

    @torch.inference_mode()
    def run(self, batch, hidden=None):
        print(f"a step of {len(batch.tokens)} tokens", file=sys.stderr)
        hidden = self.decoder.embed(batch.tokens, batch.positions) if hidden is None else hidden
        rotation = self.decoder.rotation(batch.positions)
        for layer, state in zip(self.decoder.layers, batch.memory.layers, strict=True):
            hidden = layer(hidden, rotation, state, batch.memory)
        if not self.last:
            return hidden
        return self.decoder.head(hidden if batch.logit_index is None else hidden[batch.logit_index]).float()


class LoudBackend(ExecutionBackend):
    name = "frozen_loud"
    samples = False

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def why_not(self, source):
        return "" if source.runtime.device.type == "cpu" else "it is loud on CPUs alone"

    def load(self, source):
        return LoudExecution(source.load(source.layers), source)
