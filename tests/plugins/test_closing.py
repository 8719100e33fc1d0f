"""What closing a model gives back, measured in processes of their own, and what is left of it."""

import json
import os
import subprocess
import sys

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from plugtron import LLM, SamplingParams
from plugtron.errors import ParallelError

ROUNDS = 3
#: Weights that are mapped from their file are resident, too, while the model is open.
SCRIPT = """\
import ctypes, gc, json, os, sys
from plugtron import LLM, SamplingParams

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

folder, rounds, engine, execution = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
found = []
for _ in range(rounds):
    overrides = {"engine.options.max_sequence_length": 64, "execution": execution}
    llm = LLM(folder, engine=engine, dtype="float32", device="cpu", overrides=overrides)
    request = llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=4, ignore_eos=True))
    assert len(request.sequences[0].tokens) == 4
    opened = resident()
    llm.close()  # `llm` still refers to it: what is held must not be the model
    found.append((opened, resident()))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def large_model(tmp_path_factory):
    """A folder with a model of about 150 MB, and how many bytes its weights are."""
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=5,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    folder = tmp_path_factory.mktemp("models") / "large"
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder, (folder / "model.safetensors").stat().st_size


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("engine", "execution"), [("static", "auto"), ("dynamic", "auto"), ("static", "eager")])
def test_memory_comes_back_every_time(engine, execution, large_model):
    folder, size = large_model
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, str(ROUNDS), engine, execution],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == ROUNDS
    for opened, closed in found:
        assert opened - closed > 0.7 * size
    left = [closed for _, closed in found]
    assert max(left) - left[0] < 0.1 * size


def test_a_closed_model_says_so(random_model):
    llm = LLM(random_model("llama_untied")[1], dtype="float32")
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
    stream = llm.stream([1, 2], params)
    next(stream)
    llm.close()
    llm.close()
    calls = (lambda: llm.generate([1, 2], params), lambda: list(llm.stream([1, 2], params)), lambda: list(stream))
    for call in calls:
        with pytest.raises(ParallelError, match="this model is closed"):
            call()
    assert repr(llm).endswith("closed>")
    llm.close()


def test_closing_at_the_end_of_a_block_that_closed_already(random_model):
    with LLM(random_model("llama_untied")[1], dtype="float32") as llm:
        llm.generate([1, 2], SamplingParams(max_tokens=2))
        llm.close()
    with pytest.raises(ParallelError, match="this model is closed"):
        llm.generate([1, 2])
