"""Where `plugtron run` writes to: devices, pipes, files that are read or written already; and what `check` finds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from support import commands, models

PLUGTRON = [sys.executable, "-m", "plugtron"]
TIMEOUT = 120


def plugtron(*arguments, stdout=None):
    """Run to the end; whatever it comes to, nobody sees a traceback."""
    done = commands.plugtron(*arguments, stdout=stdout, timeout=TIMEOUT)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def spec(tmp_path, random_model):
    """A spec over a small random model; prompts are ids."""

    def write(**values):
        data = {
            "version": 1,
            "model": {"checkpoint": str(random_model("llama_untied")[1]), "dtype": "float32"},
            "sampling": {"temperature": 0, "max_tokens": 4, "ignore_eos": True},
            "prompts": models.prompts(3),
        }
        path = tmp_path / "run.json"
        path.write_text(json.dumps({**data, **values}))
        return path

    return write


@pytest.fixture
def unloadable(tmp_path, random_model):
    """A model in a spec that looks sound until its weights are read: an error besides theirs came before loading."""
    folder = shutil.copytree(random_model("llama_untied")[1], tmp_path / "unloadable")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": config["intermediate_size"] + 8}))
    return {"checkpoint": str(folder), "dtype": "float32"}


def indices(text):
    return [json.loads(line)["index"] for line in text.splitlines()]


def test_standard_output_by_its_name(spec, tmp_path):
    piped = plugtron("run", spec(), "--output", "/dev/stdout")
    assert (piped.returncode, piped.stderr, indices(piped.stdout)) == (0, "", [0, 1, 2])
    with (tmp_path / "out.jsonl").open("w") as file:
        done = plugtron("run", spec(), "--output", "/dev/stdout", stdout=file)
    assert (done.returncode, done.stderr) == (0, "")
    assert indices((tmp_path / "out.jsonl").read_text()) == [0, 1, 2]


def test_nowhere(spec):
    done = plugtron("run", spec(), "--output", "/dev/null")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_named_pipe(spec, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        try:
            done = plugtron("run", spec(), "--output", tmp_path / "pipe")
            text, _ = reader.communicate(timeout=TIMEOUT)
        finally:
            reader.kill()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert indices(text) == [0, 1, 2]


def test_a_named_pipe_whose_reader_leaves(spec, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    # More than a pipe holds, so that the run is still writing when the reader goes.
    path = spec(prompts=[[7] * 400] * 60, sampling={"max_tokens": 1})
    with subprocess.Popen(["head", "-n", "1", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        try:
            done = plugtron("run", path, "--output", tmp_path / "pipe")
            text, _ = reader.communicate(timeout=TIMEOUT)
        finally:
            reader.kill()
    assert (done.returncode, done.stderr) == (1, f"output.file: {tmp_path / 'pipe'}: cannot write: Broken pipe\n")
    assert indices(text) == [0]


def test_a_full_disk(spec):
    text = "cannot write: No space left on device\n"
    named = plugtron("run", spec(), "--output", "/dev/full")
    assert (named.returncode, named.stderr) == (1, f"output.file: /dev/full: {text}")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = plugtron("run", spec(), stdout=full)
    assert (done.returncode, done.stderr) == (1, f"standard output: {text}")


def test_a_reader_that_takes_one_line(spec):
    path = spec(prompts=[[7] * 400] * 60, sampling={"max_tokens": 1})
    # The status is that of the run, not of head.
    script = '"$@" | head -n 1; exit "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *PLUGTRON, "run", path], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert (done.returncode, done.stderr) == (1, "standard output: cannot write: Broken pipe\n")
    assert indices(done.stdout) == [0]


def test_a_closed_standard_output(spec, unloadable):
    done = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *PLUGTRON, "run", spec(model=unloadable)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (1, "standard output: it is closed\n")


@pytest.mark.parametrize("read", ["prompts.jsonl", "run.json"])
def test_another_name_of_a_file_that_is_read(read, spec, tmp_path, unloadable):
    prompts, read = tmp_path / "prompts.jsonl", tmp_path / read
    prompts.write_text("[1, 2]\n[3]\n")
    path = spec(prompts={"file": str(prompts)}, model=unloadable)
    before = read.read_bytes()
    (tmp_path / "out.jsonl").hardlink_to(read)
    done = plugtron("run", path, "--output", tmp_path / "out.jsonl")
    text = f"output.file: {tmp_path / 'out.jsonl'} is {read}, which is read: name another file\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", text)
    assert read.read_bytes() == before


def test_places_that_are_none_are_found_before_the_model_is_loaded(spec, tmp_path, unloadable):
    path = spec(model=unloadable)
    for place, reason in [("nowhere/out.jsonl", "No such file or directory"), (".", "Is a directory")]:
        done = plugtron("run", path, "--output", tmp_path / place)
        assert (done.returncode, done.stderr) == (2, f"output.file: cannot write {tmp_path / place}: {reason}\n")
    loading = plugtron("run", path, "--output", tmp_path / "out.jsonl")
    assert (loading.returncode, "does not hold the model" in loading.stderr) == (1, True)


def test_two_runs_into_one_file(spec, tmp_path, unloadable):
    output = tmp_path / "out.jsonl"
    path = spec(prompts=[[1]] * 60, sampling={"temperature": 0, "max_tokens": 200, "ignore_eos": True})
    engine = ["--set", "engine.options.max_batch_size=1"]
    first = subprocess.Popen([*PLUGTRON, "run", path, "--output", output, *engine], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not (output.exists() and output.read_text()) and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        first.send_signal(signal.SIGSTOP)  # it holds the file for as long as the second run takes
        second = plugtron("run", spec(model=unloadable), "--output", output)
        first.send_signal(signal.SIGCONT)
        _, errors = first.communicate(timeout=TIMEOUT)
    finally:
        first.kill()
        first.wait()
    assert (second.returncode, second.stderr) == (2, f"output.file: another run is writing to {output}\n")
    assert (first.returncode, errors) == (0, "")
    assert indices(output.read_text()) == list(range(60))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"prompts": {"file": "nowhere.jsonl"}}, "prompts.file: cannot read {folder}/nowhere.jsonl: No such file"),
        ({"output": {"file": "nowhere/out.jsonl"}}, "output.file: there is no folder {folder}/nowhere"),
        ({"parallel": {"tensor": 3}}, "parallel.tensor: 3 ranks cannot share the model's 8 attention heads"),
        ({"prompts": []}, "prompts: there is none (give a list, or"),
    ],
)
def test_check_finds_what_is_sure_to_fail(values, text, spec):
    path = spec(**values)
    done = plugtron("check", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{path}:1: {text.format(folder=path.parent)}")
    assert done.stderr.count("\n") == 1


def test_check_finds_everything_at_once(spec):
    values = {"prompts": {"file": "nowhere.jsonl"}, "output": {"file": "nowhere/out"}, "parallel": {"tensor": 3}}
    done = plugtron("check", spec(**values))
    assert (done.returncode, done.stderr.count("\n")) == (2, 3)
    for text in ("prompts.file: cannot read", "output.file: there is no folder", "parallel.tensor: 3 ranks"):
        assert text in done.stderr
