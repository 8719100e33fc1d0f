"""Ranks that are stopped are noticed, none outlives its launcher, and what they share is this machine's alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.processes import await_end, children, ranks_of

from plugtron import LLM, SamplingParams
from plugtron.errors import ParallelError

CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
LONG = SamplingParams(temperature=0, max_tokens=200, ignore_eos=True)
LEADER = """
import sys
from plugtron import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", tensor_parallel=2)
print(*(follower.pid for follower in llm.session.parts.runtime.world.followers), flush=True)
while True:
    llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=200, ignore_eos=True))
"""


def listening(pids):
    """The addresses that processes listen at, as the kernel writes them."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                yield fields[1].partition(":")[0]


def test_what_ranks_share_is_this_machines_alone():
    with LLM(CHECKPOINT, dtype="float32", tensor_parallel=2) as llm:
        followers = llm.session.parts.runtime.world.followers
        addresses = set(listening([os.getpid(), *(follower.pid for follower in followers)]))
        assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
        for follower in followers:
            assert str(CHECKPOINT) not in Path(f"/proc/{follower.pid}/cmdline").read_text()
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_a_stopped_follower_is_noticed():
    with LLM(CHECKPOINT, dtype="float32", tensor_parallel=2, overrides={"parallel.timeout": 10}) as llm:
        assert llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=4)).error is None
        followers = llm.session.parts.runtime.world.followers
        os.kill(followers[0].pid, signal.SIGSTOP)
        with pytest.raises(ParallelError, match=r"rank 1 has given no sign of life for \d+ s: it is stopped, or its"):
            llm.generate([1, 2, 3], LONG)
        with pytest.raises(ParallelError, match="this model is closed, or has lost its ranks"):
            llm.generate([1], LONG)
    await_end([follower.pid for follower in followers])


def test_followers_end_with_a_leader_that_is_killed():
    leader = subprocess.Popen([sys.executable, "-c", LEADER, CHECKPOINT], stdout=subprocess.PIPE, text=True)
    followers = list(map(int, leader.stdout.readline().split()))
    assert followers
    leader.kill()
    leader.wait()
    leader.stdout.close()
    await_end(followers)


def test_followers_go_on_when_the_thread_that_made_them_ends():
    made = []

    def make():
        made.append(LLM(CHECKPOINT, dtype="float32", tensor_parallel=2))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with made[0] as llm:
        assert llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=4)).error is None


@pytest.fixture
def job(tmp_path):
    """`plugtron run` over two ranks, with more to do than a test waits for."""
    spec = tmp_path / "run.yaml"
    spec.write_text(
        f"model: {{checkpoint: {CHECKPOINT}, dtype: float32}}\nparallel: {{tensor: 2, timeout: 10}}\n"
        "sampling: {temperature: 0, max_tokens: 60, ignore_eos: true}\nprompts: {file: prompts.jsonl}\n"
    )
    (tmp_path / "prompts.jsonl").write_text("[1, 2, 3]\n" * 20000)
    output = tmp_path / "out.jsonl"
    started = []

    def start(*command):
        process = subprocess.Popen([*command, "run", spec, "--output", output], stderr=subprocess.PIPE, text=True)
        started.append(process)
        while not (output.exists() and output.stat().st_size):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        return process, children(process.pid)

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "plugtron"]


@pytest.mark.parametrize("launcher", ["run", "torchrun"])
def test_ranks_end_with_a_launcher_that_is_killed(launcher, job):
    process, ranks = job(*([sys.executable, "-m", "plugtron"] if launcher == "run" else TORCHRUN))
    assert len(ranks) >= 2
    process.kill()
    process.wait()
    await_end(ranks)


@pytest.mark.parametrize("launcher", ["run", "torchrun"])
def test_a_stopped_rank_of_a_job_is_noticed(launcher, job):
    process, ranks = job(*([sys.executable, "-m", "plugtron"] if launcher == "run" else TORCHRUN))
    os.kill(ranks_of(ranks)[1], signal.SIGSTOP)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert errors.count("rank 1 has given no sign of life for") == 1
    await_end(ranks)
