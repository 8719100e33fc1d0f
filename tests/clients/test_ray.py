"""`plugtron batch --ray` on a Ray cluster of two nodes: the tokens of one model, whatever is lost on the way."""

import os
import subprocess

import pytest
from support import batch_lines
from support.batch_lines import await_lines, line, read, tokens
from support.ray_cluster import nodes

from plugtron import LLM
from plugtron.testing.models import write_model

pytestmark = pytest.mark.clients

#: Long enough to be met in the middle.
LONG = 150


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("batch") / "tiny")


def start(environment, cluster, requests, results, model, *arguments):
    command = [environment.python, "-m", "plugtron", "batch", requests, results, "--model", model, "--ray"]
    command += ["--set", "model.dtype=float32", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": cluster.address}
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )


def test_a_batch_goes_on_without_a_node_and_after_a_kill(ray_environment, model, tmp_path):
    """Every line once, with its tokens: after the run was killed, and a node was lost while the next one went on."""
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    numbers = range(1, 81)
    requests.write_text("".join(line(number, max_tokens=LONG) + "\n" for number in numbers) + "[1, 2]\n")
    few = ("--replicas", 2, "--set", "engine.options.max_batch_size=2")
    with nodes(ray_environment, 3) as cluster:
        killed = start(ray_environment, cluster, requests, results, model, *few)
        await_lines(killed, results, 6)
        killed.kill()
        killed.communicate()
        before = results.read_bytes().count(b"\n")
        assert 6 <= before < 60
        again = start(ray_environment, cluster, requests, results, model, *few)
        await_lines(again, results, before + 6)
        cluster.end_one()
        out, err = again.communicate(timeout=600)
    assert (again.returncode, out) == (0, ""), err
    assert "1 of 81 requests failed" in err
    with LLM(model, dtype="float32", engine="dynamic") as llm:
        expected = batch_lines.expected(llm, numbers, max_tokens=LONG)
    records = read(results)
    assert len(records) == 81
    answered = [record for record in records if record["response"]]
    assert {record["custom_id"]: tokens(record) for record in answered} == expected
    (bad,) = (record for record in records if record["error"])
    assert bad["error"]["code"] == "invalid_json_line"


def test_an_interrupt_and_what_cannot_be(ray_environment, model, tmp_path):
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("".join(line(number, max_tokens=LONG) + "\n" for number in range(1, 81)))
    with nodes(ray_environment, 1) as cluster:
        twice = start(ray_environment, cluster, requests, results, model, "--set", "parallel.data=2")
        out, err = twice.communicate(timeout=300)
        assert (twice.returncode, out) == (2, "")
        assert "parallel.data: with --ray, --replicas says how many copies there are" in err
        stopped = start(ray_environment, cluster, requests, results, model, "--set", "engine.options.max_batch_size=2")
        await_lines(stopped, results, 4)
        stopped.terminate()
        _, err = stopped.communicate(timeout=300)
        assert stopped.returncode == 130, err
        done = len(read(results))
        assert 4 <= done < 80
        # What a node refuses is said as if it were refused here, and costs no results.
        long = "engine.options.max_sequence_length=100000"
        refused = start(ray_environment, cluster, requests, results, model, "--set", long)
        out, err = refused.communicate(timeout=300)
        assert (refused.returncode, out) == (2, "")
        assert "engine.options.max_sequence_length: 100000 is more than the" in err.splitlines()[-1]
        assert len(read(results)) == done


def test_a_replica_that_cannot_come_back(ray_environment, model, tmp_path):
    """Killed, it is started again and goes on; where its model is gone by then, the run says so."""
    requests, results, moved = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "moved"
    requests.write_text("".join(line(number, max_tokens=LONG) + "\n" for number in range(1, 201)))
    model.rename(moved)
    with nodes(ray_environment, 1) as cluster:
        going = start(ray_environment, cluster, requests, results, moved, "--set", "engine.options.max_batch_size=1")
        await_lines(going, results, 3)
        assert cluster.kill_replicas() == 1
        await_lines(going, results, len(read(results)) + 3)
        moved.rename(model)
        assert cluster.kill_replicas() == 1
        _, err = going.communicate(timeout=300)
    assert going.returncode == 1, err
    assert "all replicas are gone, and do not come back: " in err.splitlines()[-1]
    assert 6 <= len(read(results)) < 200
