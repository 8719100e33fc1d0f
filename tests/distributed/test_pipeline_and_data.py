"""Pipeline stages, replicas, and both with tensor parallelism: the tokens of one process, from two to four."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.commands import plugtron, python, ranks

from plugtron import LLM, SamplingParams
from plugtron.errors import ParallelError
from plugtron.parallel.grid import Grid

CHECKPOINTS = Path(__file__).parents[1] / "data" / "megatron"
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
SEEDED = SamplingParams(temperature=0.9, top_p=0.95, seed=7, max_tokens=24, ignore_eos=True, logprobs=2)
SUPPORT = Path(__file__).parents[1] / "support"
MEGATRON_CHECKPOINTS = [
    *(f"{name}{kind}" for name in ("gpt_learned", "gpt_rope_swiglu", "gpt_saved_tp2") for kind in ("", "_legacy")),
    *("moe_deepseek_legacy", "gpt_oss"),
]
SHAPES = [{"tensor": 2}, {"pipeline": 2}, {"tensor": 2, "pipeline": 2}]


def reference(name):
    own, neighbor = (CHECKPOINTS / folder / "reference.json" for folder in (name, name.removesuffix("_legacy")))
    return json.loads((own if own.is_file() else neighbor).read_text())["reference"]


def torchrun(ranks, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return [*command, "-m", "plugtron", *map(str, arguments)]


def write_spec(folder, checkpoint, prompts, **more):
    spec = {
        "version": 1,
        "model": {"checkpoint": str(checkpoint), "dtype": "float32"},
        "sampling": {"temperature": 0, "max_tokens": 24, "ignore_eos": True},
        "prompts": prompts,
        **more,
    }
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec))
    return file


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def over_ranks(request):
    """What each checkpoint answers over the ranks of a shape: one job for all of them."""
    asked = {
        str(CHECKPOINTS / name): [entry["prompt_tokens"] for entry in reference(name)] for name in MEGATRON_CHECKPOINTS
    }
    sizes = {f"{kind}_parallel": size for kind, size in request.param.items()}
    count = math.prod(request.param.values())
    first, *_ = ranks(count, SUPPORT / "over_ranks.py", json.dumps(sizes), json.dumps(asked), timeout=3000)
    return json.loads(first)


@pytest.mark.parametrize("name", MEGATRON_CHECKPOINTS)
def test_megatron_checkpoints_over_ranks(name, over_ranks):
    expected, found = reference(name), over_ranks[str(CHECKPOINTS / name)]
    assert set(found["errors"]) == {None}
    assert found["together"] == [entry["greedy_tokens"] for entry in expected]
    assert found["alone"] == [entry["greedy_tokens"] for entry in expected]
    for log_probs, entry in zip(found["first"], expected, strict=True):
        logits = [log_prob + entry["last_prompt_logsumexp"] for log_prob in log_probs]
        limit = 1e-4 * max(1.0, *map(abs, logits))
        differences = zip(logits, entry["last_prompt_logits_head"], strict=False)
        assert max(abs(found - wanted) for found, wanted in differences) <= limit


def test_draws_and_log_probs_come_from_the_last_stage():
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
    with LLM(CHECKPOINTS / "gpt_learned", dtype="float32") as one:
        expected = one.generate(prompts, SEEDED)
    with LLM(CHECKPOINTS / "gpt_learned", dtype="float32", pipeline_parallel=3) as three:
        found = three.generate(prompts, SEEDED)
        streamed = list(three.stream(prompts[0], SEEDED))
        three.session.engine.abort_request(12345)
    assert [request.tokens for request in found] == [request.tokens for request in expected]
    assert [token for output in streamed for token in output.tokens] == expected[0].tokens
    for left, right in zip(expected, found, strict=True):
        for one_entry, other in zip(left.log_probs, right.log_probs, strict=True):
            assert abs(one_entry.value - other.value) < 1e-4
            assert one_entry.top.keys() == other.top.keys()


def test_a_stream_that_is_left_early_leaves_nothing_behind():
    """With two stages a step of the other half of the batch is under way when the abort comes."""
    with LLM(CHECKPOINTS / "gpt_learned", dtype="float32", pipeline_parallel=2) as llm:
        expected = llm.generate([5, 6, 7], GREEDY).tokens
        streams = [llm.stream([5, 6, 7], GREEDY), llm.stream([8, 9], GREEDY)]
        for stream in streams:
            next(stream)
        streams[0].close()
        next(streams[1])
        streams[1].close()
        assert llm.generate([5, 6, 7], GREEDY).tokens == expected


def test_more_stages_than_layers_are_refused():
    with pytest.raises(ParallelError, match=r"parallel\.pipeline 4: 3 layers make 3 stages at the most"):
        LLM(CHECKPOINTS / "gpt_learned", pipeline_parallel=4)


@pytest.mark.parametrize("parallel", [{"data": 2}, {"data": 3, "pipeline": 1}, {"data": 2, "tensor": 2}], ids=str)
def test_replicas_share_the_prompts_and_rank_0_has_all_results_in_order(parallel, tmp_path):
    prompts = [{"tokens": entry["prompt_tokens"]} for entry in reference("gpt_learned")]
    hot = {"temperature": 1.5, "max_tokens": 9, "ignore_eos": True}
    prompts += [
        {"tokens": [1, 2], "sampling": hot},
        {"tokens": [9999]},
        {"tokens": [1, 2], "sampling": {**hot, "n": 2}},
    ]
    spec = write_spec(tmp_path, CHECKPOINTS / "gpt_learned", prompts, seed=3)
    lines = []
    for sizes in ({}, parallel):
        overrides = [f"--set=parallel.{kind}={size}" for kind, size in sizes.items()]
        done = plugtron("run", spec, *overrides, check=0)
        assert "1 of 7 requests failed" in done.stderr
        results = [json.loads(line) for line in done.stdout.splitlines()]
        for result in results:
            assert result.pop("timings")["total"] > 0
        lines.append(results)
    assert lines[0] == lines[1]
    assert [line["tokens"] for line in lines[0][:4]] == [entry["greedy_tokens"] for entry in reference("gpt_learned")]


def test_replicas_are_for_offline_runs():
    with pytest.raises(ParallelError, match=r"parallel\.data 2: .* start it with 'plugtron run' or torchrun"):
        LLM(CHECKPOINTS / "gpt_learned", overrides={"parallel.data": 2})


def test_a_job_of_another_size_is_refused(tmp_path):
    spec = write_spec(tmp_path, CHECKPOINTS / "gpt_learned", ["1 2"], parallel={"tensor": 2, "pipeline": 2})
    done = python(*torchrun(2, "run", spec)[1:])
    assert done.returncode != 0
    assert "the job has 2 processes, and parallel.tensor × pipeline × data is 4" in done.stderr


def test_a_rank_that_dies_ends_the_job_within_seconds(tmp_path):
    """Stage 1 is killed while stage 0 generates."""
    sampling = {"temperature": 0, "max_tokens": 100, "ignore_eos": True}
    prompts = ["1 2 3"] * 4000
    spec = write_spec(tmp_path, CHECKPOINTS / "gpt_learned", prompts, parallel={"pipeline": 2}, sampling=sampling)
    with subprocess.Popen(torchrun(2, "run", spec), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        job.stdout.readline()  # it generates
        ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True)
        os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
        job.communicate(timeout=300)
        assert job.returncode != 0


def test_a_rank_that_is_killed_is_named(tmp_path):
    """`plugtron run` is the launcher here, and says what the rank could not."""
    sampling = {"temperature": 0, "max_tokens": 100, "ignore_eos": True}
    spec = write_spec(tmp_path, CHECKPOINTS / "gpt_learned", ["1 2 3"] * 4000, parallel={"data": 2}, sampling=sampling)
    command = [sys.executable, "-m", "plugtron", "run", str(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        job.stdout.readline()
        ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True)
        os.kill(int(ranks.stdout.split()[0]), signal.SIGKILL)
        _, errors = job.communicate(timeout=300)
        assert job.returncode != 0
        assert "was ended by SIGKILL" in errors


FAULT = """
import os
if os.environ.get("LOCAL_RANK") == "1":
    from plugtron.execution.native import NativeExecution
    run, steps = NativeExecution.run, []
    def fail(self, batch, hidden=None):
        steps.append(batch)
        if len(steps) > 5:
            raise RuntimeError("out of everything")
        return run(self, batch, hidden)
    NativeExecution.run = fail
"""


@pytest.mark.parametrize("parallel", ["pipeline_parallel", "tensor_parallel"])
def test_a_follower_that_raises_ends_the_leader(parallel, tmp_path):
    """Its own error comes first; the leader does not wait for it."""
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    script = (
        "from plugtron import LLM, SamplingParams\n"
        f"with LLM({str(CHECKPOINTS / 'gpt_learned')!r}, {parallel}=2) as llm:\n"
        "    llm.generate([1, 2], SamplingParams(temperature=0, max_tokens=50, ignore_eos=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    last = "ParallelError: rank 1 ended with exit code 1"
    assert done.stderr.index("out of everything") < done.stderr.index(last)


def test_one_model_after_the_other_under_torchrun(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "import os\n"
        "from plugtron import LLM, SamplingParams\n"
        "for _ in range(2):\n"
        f"    with LLM({str(CHECKPOINTS / 'gpt_learned')!r}, dtype='float32', pipeline_parallel=2) as llm:\n"
        "        request = llm.generate([175], SamplingParams(temperature=0, max_tokens=3))\n"
        "    if os.environ['RANK'] == '0':\n"
        "        print(request.tokens)\n"
    )
    done = python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, check=0, timeout=600)
    assert done.stdout == "[294, 294, 294]\n" * 2


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_closing_with_a_stream_still_open(engine):
    """The followers leave by themselves; none has to be killed."""
    llm = LLM(CHECKPOINTS / "gpt_learned", engine=engine, pipeline_parallel=2)
    stream = llm.stream([5, 6, 7], GREEDY)
    next(stream)
    llm.close()
    assert [follower.returncode for follower in llm.session.parts.runtime.world.followers] == [0]


def test_grid():
    grid = Grid(tensor=2, pipeline=3, data=2)
    assert grid.ranks == 12
    assert grid.tensor_groups()[:2] == [[0, 1], [2, 3]]
    assert grid.pipeline_groups() == [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]
    assert grid.data_groups() == [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]
    assert grid.model_groups() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
