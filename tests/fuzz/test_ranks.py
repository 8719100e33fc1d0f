"""A rank that is killed or stopped at any moment ends its job: with its name, whole lines, and no process left."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from support.fuzzing import AT_RANDOM, SECONDS
from support.processes import await_end, children, ranks_of
from transformers import LlamaConfig, LlamaForCausalLM

pytestmark = pytest.mark.fuzz

RANKS = 3
TIMES = max(1, round(SECONDS / 15))
LAUNCHERS = {
    "run": [sys.executable, "-m", "plugtron"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), "-m", "plugtron"],
}
SPEC = """
model: {checkpoint: model, dtype: float32}
parallel: {tensor: 3, timeout: 10}
sampling: {temperature: 0, max_tokens: 60, ignore_eos: true}
prompts: {file: prompts.jsonl}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=320, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=3, max_position_embeddings=128,
        )
    ).save_pretrained(folder / "model")  # fmt: skip
    (folder / "run.yaml").write_text(SPEC)
    (folder / "prompts.jsonl").write_text("[1, 2, 3]\n" * 20000)
    return folder


def await_results(process, output, size):
    while not (output.exists() and output.stat().st_size >= size):
        assert process.poll() is None, "the job ended by itself"
        time.sleep(0.01)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_a_rank_is_lost_at_some_step(name, launcher, folder):
    chance = random.Random() if AT_RANDOM else random.Random(name + launcher)
    for _ in range(TIMES):
        output, errors = folder / "out.jsonl", folder / "errors.txt"
        output.unlink(missing_ok=True)
        with errors.open("w") as stream:
            process = subprocess.Popen(
                [*LAUNCHERS[launcher], "run", folder / "run.yaml", "--output", output], stderr=stream
            )
        try:
            await_results(process, output, chance.randrange(1, 20000))
            time.sleep(chance.random() / 10)
            started = children(process.pid)
            rank, pid = chance.choice(sorted(ranks_of(started).items()))
            os.kill(pid, signal.Signals[name])
            process.wait()
        finally:
            process.kill()
            process.wait()
        await_end(started)
        said = errors.read_text()
        what = f"{name} of rank {rank} under {launcher}:\n{said[-3000:]}"
        assert process.returncode not in (0, -signal.SIGKILL), what
        if name == "SIGSTOP":
            assert said.count(f"rank {rank} has given no sign of life for") == 1, what
        elif launcher == "run":
            assert f"rank {rank} was ended by SIGKILL" in said, what
        records = list(map(json.loads, output.read_text().splitlines()))
        assert [record["index"] for record in records] == list(range(len(records))), what
        assert all(record["error"] is None and len(record["tokens"]) == 60 for record in records), what
