"""`plugtron batch --ray` on a Ray cluster of two nodes: the tokens of one model, whatever is lost on the way."""

import os
import signal
import subprocess
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import batch_lines, venv
from support.batch_lines import await_lines, line, read, tokens

from plugtron import LLM
from plugtron.testing.models import write_model

pytestmark = pytest.mark.clients

PACKAGE = "ray==2.60.0"
#: Starts a cluster whose nodes have a CPU each, says where it is, and ends the last node for each line that it reads.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(int(sys.argv[1]) - 1)]
print(cluster.address, flush=True)
for _ in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("gone", flush=True)
cluster.shutdown()
"""
#: Long enough to be met in the middle.
LONG = 150


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    made = venv.bare(tmp_path_factory.mktemp("ray"))
    reason = venv.install(made, PACKAGE)
    if reason is not None:
        pytest.skip(f"ray cannot be had: {reason}")
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("batch") / "tiny")


class Nodes:
    """A cluster that runs."""

    def __init__(self, process, mark):
        self._process = process
        self._mark = mark
        self.address = process.stdout.readline().strip()

    def end_one(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "gone\n"

    def kill_replicas(self):
        """End the processes of replicas, which are of this cluster alone."""
        killed = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has just ended, or is somebody else's
                named = (process / "cmdline").read_bytes().startswith(b"ray::RayReplica")
                if named and self._mark.encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        return killed


@contextmanager
def nodes(environment, count):
    command, mark = [environment.python, "-c", CLUSTER, str(count)], uuid.uuid4().hex
    variables = {**os.environ, "OF_CLUSTER": mark}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
    try:
        yield Nodes(process, mark)
    finally:
        process.communicate(timeout=120)


def start(environment, cluster, requests, results, model, *arguments):
    command = [environment.python, "-m", "plugtron", "batch", requests, results, "--model", model, "--ray"]
    command += ["--set", "model.dtype=float32", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": cluster.address}
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )


def test_a_batch_goes_on_without_a_node_and_after_a_kill(environment, model, tmp_path):
    """Every line once, with its tokens: after the run was killed, and a node was lost while the next one went on."""
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    numbers = range(1, 81)
    requests.write_text("".join(line(number, max_tokens=LONG) + "\n" for number in numbers) + "[1, 2]\n")
    few = ("--replicas", 2, "--set", "engine.options.max_batch_size=2")
    with nodes(environment, 3) as cluster:
        killed = start(environment, cluster, requests, results, model, *few)
        await_lines(killed, results, 6)
        killed.kill()
        killed.communicate()
        before = results.read_bytes().count(b"\n")
        assert 6 <= before < 60
        again = start(environment, cluster, requests, results, model, *few)
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


def test_an_interrupt_and_what_cannot_be(environment, model, tmp_path):
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("".join(line(number, max_tokens=LONG) + "\n" for number in range(1, 81)))
    with nodes(environment, 1) as cluster:
        twice = start(environment, cluster, requests, results, model, "--set", "parallel.data=2")
        out, err = twice.communicate(timeout=300)
        assert (twice.returncode, out) == (2, "")
        assert "parallel.data: with --ray, --replicas says how many copies there are" in err
        stopped = start(environment, cluster, requests, results, model, "--set", "engine.options.max_batch_size=2")
        await_lines(stopped, results, 4)
        stopped.terminate()
        _, err = stopped.communicate(timeout=300)
        assert stopped.returncode == 130, err
        done = len(read(results))
        assert 4 <= done < 80
        # What a node refuses is said as if it were refused here, and costs no results.
        long = "engine.options.max_sequence_length=100000"
        refused = start(environment, cluster, requests, results, model, "--set", long)
        out, err = refused.communicate(timeout=300)
        assert (refused.returncode, out) == (2, "")
        assert "engine.options.max_sequence_length: 100000 is more than the" in err.splitlines()[-1]
        assert len(read(results)) == done


def test_a_replica_that_cannot_come_back(environment, model, tmp_path):
    """Killed, it is started again and goes on; where its model is gone by then, the run says so."""
    requests, results, moved = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "moved"
    requests.write_text("".join(line(number, max_tokens=LONG) + "\n" for number in range(1, 201)))
    model.rename(moved)
    with nodes(environment, 1) as cluster:
        going = start(environment, cluster, requests, results, moved, "--set", "engine.options.max_batch_size=1")
        await_lines(going, results, 3)
        assert cluster.kill_replicas() == 1
        await_lines(going, results, len(read(results)) + 3)
        moved.rename(model)
        assert cluster.kill_replicas() == 1
        _, err = going.communicate(timeout=300)
    assert going.returncode == 1, err
    assert "all replicas are gone, and do not come back: " in err.splitlines()[-1]
    assert 6 <= len(read(results)) < 200
