"""Checkpoint readers that are wrong, each in a way of its own."""

import json
import struct
from dataclasses import replace
from types import MappingProxyType

import torch
from offered import offered
from safetensors import safe_open

from plugtron import Component, hookimpl
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.contracts import CheckpointReader


class Right(SafetensorsReader):
    """Reads Hugging Face folders."""


class SaysNothing(Right):
    @classmethod
    def describe(cls, path):
        found = super().describe(path)
        return found and replace(found, architecture="")


class DescribesInItsOwnWords(Right):
    @classmethod
    def describe(cls, path):
        found = super().describe(path)
        return found and {"architecture": found.architecture}


class TakesEveryFolder(Right):
    """Supposes that what it is asked about is its format."""

    @classmethod
    def describe(cls, path):
        json.loads((path / "config.json").read_text())
        return super().describe(path)


class ClaimsEveryFolder(Right):
    @classmethod
    def describe(cls, path):
        found = super().describe(path)
        return found or (path.is_dir() and "mine") or None


class Transposes(Right):
    """Reads matrices as a file has them that stores them the other way round."""

    def read(self, name, part=()):
        return super().read(name, part).T


class ReadsIntegers(Right):
    def read(self, name, part=()):
        return super().read(name, part).to(torch.int8)


class HasNoTensors(Right):
    tensors = MappingProxyType({})


class PartsOfRowsAlone(Right):
    def read(self, name, part=()):
        return super().read(name, part[:1])


class ReadsOneRowTooFew(Right):
    def read(self, name, part=()):
        whole = super().read(name, part)
        return whole[:-1] if part and len(whole) > 1 else whole


class RaisesWhateverComes(Right):
    """Leaves what a library raises as it is."""

    def _open(self, file):
        return safe_open(file, framework="pt")


class UnpacksWhatIsThere(Right):
    @property
    def tensors(self):
        struct.unpack("<Q", (self.path / "model.safetensors").read_bytes()[:8])
        return super().tensors


class ZerosForWhatIsMissing(Right):
    def read(self, name, part=()):
        return super().read(name, part) if name in self.tensors else torch.zeros(4, 4)


class ReadsEverything(Right):
    """Reads the whole file for each tensor."""

    def read(self, name, part=()):
        (self.path / "model.safetensors").read_bytes()
        return super().read(name, part)


class DescribesWithWeights(Right):
    """Reads the weights in order to say what they are."""

    @classmethod
    def describe(cls, path):
        if (path / "model.safetensors").exists():
            (path / "model.safetensors").read_bytes()
        return super().describe(path)


NAMES = offered(globals(), SafetensorsReader, CheckpointReader)


@hookimpl
def plugtron_checkpoints():
    return [Component(name=name, target=f"{__name__}:{value}", summary="wrong") for name, value in NAMES.items()]
