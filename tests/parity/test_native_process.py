"""The native kernels and the process that they are in: compilers, caches, threads, forks, addresses."""

import json
import os
import subprocess
import sys

import pytest
import torch

from plugtron import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
PROGRAM = """
import sys
from plugtron import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype=sys.argv[3], quantization=sys.argv[2] or None, overrides={"threads": 3})
params = SamplingParams(temperature=0, max_tokens=8)
short = llm.generate([[1, 2, 3], [4] * 21], params)
print([answer.tokens for answer in (*short, llm.generate([7] * 251, params))])
"""


def run(folder, quantization="int8", dtype="float32", **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), quantization, dtype],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def llama(random_model):
    return random_model("llama_untied")[1]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"PATH": "/nowhere"}, "there is no C++ compiler (looked for c++, g++, clang++)"),
        ({"CXX": "no-such-compiler -v"}, "there is no C++ compiler (looked for CXX=no-such-compiler)"),
        ({"CXX": "false"}, "/false failed"),
        ({"CXXFLAGS": "-no-such-option"}, "-no-such-option"),
    ],
)
def test_without_a_compiler_torch_runs_and_says_so_once(environment, reason, llama):
    done = run(llama, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("quantization int8 runs through torch, and slowly") == 1
    assert reason in done.stderr
    assert len(json.loads(done.stdout)) == 3


def test_a_cache_that_cannot_be_written_is_said_once(llama):
    usual = run(llama)
    done = run(llama, PLUGTRON_CACHE_DIR="/dev/null/cache", CXXFLAGS="-O0")  # optimized, they take a minute to compile
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written: the native kernels are compiled at every start") == 1
    assert "through torch" not in done.stderr
    assert done.stdout == usual.stdout


@pytest.mark.parametrize(
    ("name", "quantization", "dtype"),
    [
        ("llama_untied", "int4", "float32"),
        ("gpt2_odd", "", "bfloat16"),
        ("mistral_window", "", "bfloat16"),
        ("llama_biases", "", "float32"),
    ],
)
def test_no_address_is_read_or_written_that_is_not_ours(name, quantization, dtype, random_model):
    """Under AddressSanitizer and UndefinedBehaviorSanitizer; with 4 bits (8 in the head), and with plain weights."""
    folder = random_model(name)[1]
    flags = "-fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=all -g -O0"
    found = [
        subprocess.run(["c++", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    # Python's own memory is no business of this test.
    options = {"LD_PRELOAD": " ".join(found), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    done = run(folder, quantization, dtype, CXXFLAGS=flags, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "through torch" not in done.stderr
    assert done.stdout == run(folder, quantization, dtype).stdout


def test_threads_are_those_of_the_spec_and_change_no_bit(llama):
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        with LLM(llama, quantization="int4", overrides={"threads": threads}) as llm:
            assert torch.get_num_threads() == threads
            params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=0)
            found.append([entry.value for entry in llm.generate([1, 2, 3], params).log_probs])
        assert torch.get_num_threads() == before
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", ["mistral_window", "qwen3"])
def test_a_long_history_is_divided_among_threads_and_changes_no_bit(name, random_model):
    """Across positions where a stretch ends, with and without a window, and beside what torch computes."""
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, logprobs=0)
    prompt = [token % 320 for token in range(1, 3 * 490, 3)][:490]
    found = []
    for threads, execution in ((1, "native"), (2, "native"), (3, "native"), (2, "eager")):
        with LLM(random_model(name)[1], overrides={"threads": threads, "execution": execution}) as llm:
            answers = [llm.generate(prompt[:length], params) for length in (240, 472)]
        found.append([(answer.tokens, [entry.value for entry in answer.log_probs]) for answer in answers])
    assert found[0] == found[1] == found[2]
    for (tokens, values), (expected_tokens, expected_values) in zip(found[0], found[3], strict=True):
        assert tokens == expected_tokens
        assert values == pytest.approx(expected_values, abs=1e-4)


def test_a_forked_process_has_a_team_of_its_own(llama):
    with LLM(llama, quantization="int8") as llm:
        expected = llm.generate([1, 2, 3], GREEDY).tokens
        child = os.fork()
        if child == 0:
            # Straight out again: what the test runner would do at its end is not this process's to do.
            torch.set_num_threads(1)  # torch's own team is gone too
            os._exit(0 if llm.generate([1, 2, 3], GREEDY).tokens == expected else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert llm.generate([1, 2, 3], GREEDY).tokens == expected
