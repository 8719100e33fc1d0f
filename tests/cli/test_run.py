"""`plugtron run` and `generate` as a user calls them: results, exit codes, ranks."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import models
from support.commands import plugtron, python

from plugtron.spec.model import PromptSpec

PLUGTRON = [sys.executable, "-m", "plugtron"]


def takes_interrupts():
    """A child of a suite that runs in the background would inherit that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def spec(tmp_path, random_model):
    """A spec over a small random model; prompts are ids."""

    def write(name="llama_untied", **values):
        data = {
            "version": 1,
            "model": {"checkpoint": str(random_model(name)[1]), "dtype": "float32"},
            "sampling": {"temperature": 0, "max_tokens": 12, "ignore_eos": True},
            "prompts": models.prompts(3),
        }
        path = tmp_path / "run.json"
        path.write_text(json.dumps({**data, **values}))
        return path

    return write


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def test_results_are_json_lines(spec, tmp_path):
    done = plugtron("run", spec(), "--output", tmp_path / "out.jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = records((tmp_path / "out.jsonl").read_text())
    assert [record["index"] for record in found] == [0, 1, 2]
    assert set(found[0]) == {
        "index", "prompt", "prompt_tokens", "text", "tokens", "finish_reason", "error", "timings",
            "cached_tokens", "preemptions", "seed",
    }  # fmt: skip
    assert found[1]["prompt_tokens"] == found[1]["prompt"] == models.prompts(3)[1]
    assert found[0]["finish_reason"] == "length"
    assert found[0]["timings"]["time_to_first_token"] > 0


def test_two_ranks_started_both_ways_give_what_one_gives(spec):
    alone = plugtron("run", spec())
    expected = [record["tokens"] for record in records(alone.stdout)]
    led = plugtron("run", spec(parallel={"tensor": 2}))
    assert (led.returncode, led.stderr) == (0, "")
    assert [record["tokens"] for record in records(led.stdout)] == expected
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "plugtron", "run", spec(parallel={"tensor": 2})], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert [record["tokens"] for record in records(done.stdout)] == expected


def test_a_job_of_another_size_is_an_error(spec):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = python(*torchrun, "-m", "plugtron", "run", spec(), check=1)
    text = "the job has 2 processes, and parallel.tensor × pipeline × data is 1: start 1 of them"
    assert done.stderr.count(text) == 1


def test_heads_that_do_not_divide(spec):
    path = spec(parallel={"tensor": 3})
    done = plugtron("run", path)
    assert done.returncode == 2
    text = "parallel.tensor: 3 ranks cannot share the model's 8 attention heads (accepted: 1, 2, 4, 8)"
    assert done.stderr == f"{path}:1: {text}\n"


def test_some_requests_fail(spec):
    done = plugtron("run", spec(prompts=[[1], [9999], [2]]))
    assert done.returncode == 0
    assert done.stderr == "1 of 3 requests failed\n"
    assert [record["finish_reason"] for record in records(done.stdout)] == ["length", "error", "length"]


def test_all_requests_fail(spec):
    done = plugtron("run", spec(prompts=[[9999]]))
    assert done.returncode == 1
    assert "1 of 1 requests failed" in done.stderr


def test_text_for_reading(default_model, tmp_path):
    (tmp_path / "run.yaml").write_text(
        f"model: {{checkpoint: {default_model}}}\nsampling: {{temperature: 0, max_tokens: 4}}\n"
        'prompts: ["The capital of France is", [9999999]]\n'
    )
    done = plugtron("run", tmp_path / "run.yaml", "--text")
    assert done.stdout.startswith(" Paris")
    assert "error: the prompt has 9999999" in done.stdout


def test_prompts_from_a_file(spec, tmp_path):
    lines = [
        {"tokens": [1, 2], "sampling": {"max_tokens": 3}},
        [3, 4],
        {"tokens": [5], "sampling": {"temperature": -1}},
        {"prompt": "two\u2028lines \ud800"},
    ]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)).replace("\\u2028", "\u2028") + "\n\n")
    done = plugtron("run", spec(prompts={"file": str(tmp_path / "prompts.jsonl")}))
    found = records(done.stdout)
    assert [len(record["tokens"]) for record in found] == [3, 12, 0, 0]
    assert found[3]["prompt"] == "two\u2028lines \ud800"
    assert found[2]["error"] == "temperature: must be at least 0 (got -1)"


def test_a_broken_file_of_prompts(spec, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('[1]\n{"promt": "x"}\n{\n')
    done = plugtron("run", spec(prompts={"file": str(path)}))
    assert done.returncode == 2
    accepted = ", ".join(sorted(PromptSpec.model_fields))
    assert f"{path}:2: promt: no such option (accepted: {accepted})." in done.stderr
    assert f"{path}:3: not JSON" in done.stderr
    missing = plugtron("run", spec(prompts={"file": "nowhere.jsonl"}))
    assert (missing.returncode, "nowhere.jsonl: No such file" in missing.stderr) == (2, True)


def test_output_that_cannot_be_written_is_found_before_the_model_is_loaded(spec, tmp_path):
    done = plugtron("run", spec(parallel={"tensor": 2}), "--output", tmp_path / "nowhere" / "out.jsonl")
    assert (done.returncode, done.stderr.count("output.file: cannot write")) == (2, 1)
    assert "Traceback" not in done.stderr


def test_results_of_an_earlier_run_outlive_a_model_that_cannot_be_loaded(spec, tmp_path, random_model):
    (tmp_path / "out.jsonl").write_text("earlier\n")
    failing = plugtron(
        "run", spec(parallel={"tensor": 1}, model={"checkpoint": str(tmp_path)}), "--output", tmp_path / "out.jsonl"
    )
    assert failing.returncode == 2
    options = {"name": "static", "options": {"max_sequence_length": 5000}}
    late = plugtron("run", spec(engine=options), "--output", tmp_path / "out.jsonl")
    assert (late.returncode, "5000 is more than the 512 positions" in late.stderr) == (2, True)
    assert (tmp_path / "out.jsonl").read_text() == "earlier\n"
    assert plugtron("run", spec(), "--output", tmp_path / "out.jsonl").returncode == 0
    assert len(records((tmp_path / "out.jsonl").read_text())) == 3


def test_interrupt_keeps_what_is_finished(spec, tmp_path):
    output = tmp_path / "out.jsonl"
    prompts = [{"tokens": [1], "sampling": {"max_tokens": 2}}] + [{"tokens": [2], "sampling": {"max_tokens": 500}}] * 80
    path = spec(prompts=prompts, engine={"name": "static", "options": {"max_batch_size": 1}})
    process = subprocess.Popen(
        [*PLUGTRON, "run", path, "--output", output], stderr=subprocess.PIPE, text=True, preexec_fn=takes_interrupts
    )
    while not (output.exists() and output.read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    kept = records(output.read_text())
    assert kept[0]["index"] == 0
    assert len(kept) < len(prompts)
    assert "Traceback" not in errors


def test_generate(default_model):
    done = plugtron(
        "generate", "The capital of France is", "--max-tokens", "8", "--temperature", "0", "--model", default_model
    )
    assert done.returncode == 0
    assert " Paris" in done.stdout
    chat = plugtron(
        "generate", "What is the capital of France?", "--chat", "--json", "--max-tokens", "20", "--temperature", "0"
    )
    assert "Paris" in records(chat.stdout)[0]["text"]


def test_generate_streams_to_a_terminal(default_model):
    import pty

    main, end = pty.openpty()
    process = subprocess.Popen(
        [*PLUGTRON, "generate", "The capital of France is", "--max-tokens", "6", "--temperature", "0"], stdout=end
    )
    os.close(end)
    pieces = []
    while True:
        try:
            data = os.read(main, 1024)
        except OSError:  # how Linux says that the other end is closed
            break
        if not data:
            break
        pieces.append(data.decode())
    assert process.wait(timeout=600) == 0
    assert " Paris" in "".join(pieces)
    assert len(pieces) > 2


def test_unknown_model():
    done = plugtron("generate", "hi", "--model", "smollm2")
    assert done.returncode == 2
    assert "no model 'smollm2': a model is an alias (smollm2-135m-instruct), a path" in done.stderr
    hub = plugtron("generate", "hi", "--model", "acme/model", HF_HUB_OFFLINE="1")
    assert hub.returncode in (1, 3)
    assert "acme/model" in hub.stderr
    assert "Traceback" not in hub.stderr
