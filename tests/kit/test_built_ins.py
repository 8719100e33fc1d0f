"""The built-in parts of the other kinds pass the checks that anybody's have to."""

import shutil
from pathlib import Path
from types import MappingProxyType

import pytest

from plugtron.testing import (
    AttentionChecks,
    CheckpointChecks,
    DeterministicExecutionChecks,
    ExecutionChecks,
    NativeWrapperChecks,
    PlainControllerChecks,
    QuantizationChecks,
    RoundTripTokenizerChecks,
    SamplerRunChecks,
    SharedModelEngineChecks,
    TokenizerChecks,
    write_model,
)

pytestmark = pytest.mark.wide

MEGATRON = Path(__file__).parents[1] / "data" / "megatron"


class TestStatic(SharedModelEngineChecks):
    component = "static"


class TestDynamic(SharedModelEngineChecks):
    component = "dynamic"
    options = MappingProxyType({"block_size": 4, "max_step_tokens": 8})


class TestTextGeneration(PlainControllerChecks):
    component = "text_generation"


class TestSpeculative(PlainControllerChecks):
    component = "speculative"


class TestGuidance(PlainControllerChecks):
    component = "guidance"


class TestBeamSearch(PlainControllerChecks):
    component = "beam_search"


class TestHuggingFaceTokenizer(RoundTripTokenizerChecks):
    component = "huggingface"


class TestIds(TokenizerChecks):
    component = "ids"
    options = MappingProxyType({"vocab_size": 277})
    texts = ("3 5 7", "200", "1 2 3 4 5 6")


class TestSafetensors(CheckpointChecks):
    component = "safetensors"

    @classmethod
    def write(cls, folder):
        return write_model(folder, "odd")


class TestMegatron(CheckpointChecks):
    component = "megatron"

    @classmethod
    def write(cls, folder):
        source = next(path for path in sorted(MEGATRON.iterdir()) if path.is_dir())
        return Path(shutil.copytree(source, folder / "checkpoint"))


class TestTorchAttention(AttentionChecks):
    component = "torch"


class TestEager(ExecutionChecks):
    component = "eager"


class TestNative(DeterministicExecutionChecks):
    component = "native"


class TestInt8(QuantizationChecks):
    component = "int8"
    error = 0.01


class TestInt4(QuantizationChecks):
    component = "int4"
    error = 0.12


class TestLlama(NativeWrapperChecks):
    component = "llama"
    quantizations = ("int8", "int4")

    @classmethod
    def write(cls, folder):
        return write_model(folder, "odd")


class TestTemperatureInRuns(SamplerRunChecks):
    component = "temperature"
    cases = ({"temperature": 0.5}, {"temperature": 1.7})


class TestPenaltiesInRuns(SamplerRunChecks):
    component = "penalties"
    cases = ({"repetition_penalty": 1.3},)
