"""The example for NVIDIA Dynamo: a real worker, found and called through Dynamo's own runtime."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import venv

from plugtron import LLM, SamplingParams

WORKER = Path(__file__).parents[2] / "examples" / "dynamo" / "worker.py"
PACKAGES = ("ai-dynamo-runtime==1.6.1", "uvloop")
pytestmark = pytest.mark.clients
MODEL = "smollm2-135m-instruct"
PROMPT = [504, 3575, 282, 4649, 314]
CLIENT = """
import asyncio, json, sys
from dynamo.runtime import DistributedRuntime

async def main():
    runtime = DistributedRuntime(asyncio.get_running_loop(), "file", "tcp")
    client = await runtime.endpoint("dynamo.plugtron.generate").client()
    await client.wait_for_instances()
    for request in json.loads(sys.argv[1]):
        try:
            parts = [part.data() async for part in await client.generate(request)]
        except ValueError as error:
            parts = str(error)
        print("answer " + json.dumps(parts), flush=True)
    runtime.shutdown()

asyncio.run(main())
"""
REQUESTS = [
    {"token_ids": PROMPT, "sampling_options": {"temperature": 0, "top_p": None}, "stop_conditions": {"max_tokens": 6}},
    {"token_ids": PROMPT, "sampling_options": {"temperature": 0.9, "seed": 7}, "stop_conditions": {"max_tokens": 6}},
    {"token_ids": PROMPT, "sampling_options": {"nonsense": 1}},
]


@pytest.fixture
def environment(tmp_path):
    """Variables that have Dynamo's packages, and its workers found through a folder."""
    folder = tmp_path / "packages"
    command = [*venv.PIP, "install", "--no-deps", "--target", str(folder), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{PACKAGES[0]} cannot be had: {done.stderr.strip().splitlines()[-1]}")
    found = {"DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": str(tmp_path / "workers"), "DYN_REQUEST_PLANE": "tcp"}
    return {**os.environ, **found, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_a_worker_answers(default_model, environment, tmp_path):
    spec, folder = tmp_path / "run.yaml", tmp_path / "model"
    spec.write_text(f"version: 1\nmodel: {{checkpoint: {MODEL}}}\nengine: dynamic\n")
    subprocess.run([sys.executable, "-m", "plugtron", "convert", MODEL, folder], check=True)
    worker = subprocess.Popen([sys.executable, WORKER, spec, "--register", folder], env=environment)
    try:
        asked = [sys.executable, "-c", CLIENT, json.dumps(REQUESTS)]
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    finally:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(600) == 0
    lines = [line.removeprefix("answer ") for line in done.stdout.splitlines() if line.startswith("answer ")]
    *answers, refusal = map(json.loads, lines)
    with LLM(MODEL, engine="dynamic") as llm:
        greedy, drawn = (
            llm.generate(PROMPT, SamplingParams(max_tokens=6, **own))
            for own in ({"temperature": 0}, {"temperature": 0.9, "seed": 7})
        )
    assert [[token for part in answer for token in part["token_ids"]] for answer in answers] == [
        greedy.tokens,
        drawn.tokens,
    ]
    assert [answer[-1]["finish_reason"] for answer in answers] == ["length", "length"]
    assert "nonsense: no part of this run uses it" in refusal
