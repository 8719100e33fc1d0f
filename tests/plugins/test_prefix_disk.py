"""Prefixes on disk: a later run computes only the rest, gets the same tokens, and never what is of anything else."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from support import models
from support.dynamic import CHECKPOINT

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.context.prefix import first_key, next_key
from plugtron.errors import SpecError
from plugtron_controllers import SimpleTextGenerationController
from plugtron_engines import DynamicEngine, DynamicOptions

BLOCK = 8
PROMPT = [(7 * at) % 90 + 3 for at in range(70)]
GREEDY = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
DRAWN = SamplingParams(temperature=1.0, seed=5, max_tokens=6, ignore_eos=True)
#: What of the prompt is found: whole blocks, but for its last token.
FOUND = 64
WAYS = {
    "native": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "eager": {"dtype": "float32", "overrides": {"execution": "eager"}},
    "int8": {"dtype": "bfloat16", "quantization": "int8"},
    "fp8": {"dtype": "float32", "overrides": {"execution": "eager", "model.kv_dtype": "fp8"}},
    "int8 memory": {"dtype": "bfloat16", "overrides": {"model.kv_dtype": "int8"}},
    "two ranks": {"dtype": "float32", "tensor_parallel": 2},
    "two stages": {"dtype": "float32", "pipeline_parallel": 2},
    "graph": {"dtype": "float32", "overrides": {"execution": "graph"}},
    "draft": {"dtype": "float32", "overrides": {"controller": "speculative"}},
}
DEFAULT = ("native", "bfloat16", "eager")
_WAYS = [pytest.param(way, marks=() if way in DEFAULT else pytest.mark.wide) for way in WAYS]


@pytest.fixture
def prefixes(own):
    return own / "prefixes"


def opened(checkpoint, *, disk="64MiB", overrides=None, **arguments):
    options = {"engine.options.block_size": BLOCK, "engine.options.max_step_tokens": 24}
    if disk is not None:
        options["engine.options.prefix_cache_disk"] = disk
    return LLM(checkpoint, engine="dynamic", overrides={**options, **(overrides or {})}, **arguments)


def run(checkpoint, prompt=PROMPT, params=GREEDY, **arguments):
    """Tokens of a run of its own, and what it found and computed."""
    with opened(checkpoint, **arguments) as llm:
        request = llm.generate(prompt, params)
        assert request.error is None
        stats = llm.session.engine.stats
    assert request.cached_tokens == stats.cached_tokens == stats.disk_tokens
    return request.tokens, request.cached_tokens, stats.tokens


@pytest.fixture
def checkpoint(random_model):
    return random_model("llama_untied")[1]


@pytest.mark.parametrize("way", _WAYS)
def test_a_later_run_computes_the_rest(way, checkpoint, prefixes):
    """Of a greedy answer and of one that is drawn, to prompts with nothing in common."""
    prompts, params = [PROMPT, PROMPT[::-1]], [GREEDY, DRAWN]

    def answers(disk="64MiB"):
        with opened(checkpoint, disk=disk, **WAYS[way]) as llm:
            requests = llm.generate(prompts, params)
            tokens = llm.session.engine.stats.tokens
        return [request.tokens for request in requests], [request.cached_tokens for request in requests], tokens

    expected, none, whole = answers(disk=None)
    assert answers() == (expected, none, whole)
    ranks = 2 if way.startswith("two") else 1
    # Whole blocks of all but the token that was drawn last.
    assert len(list(prefixes.glob("*.block"))) == ranks * 2 * ((len(PROMPT) + 5) // BLOCK)
    assert answers() == (expected, [FOUND, FOUND], whole - 2 * FOUND)


def files_of(prefixes, count):
    """The files, one of each rank, of the last of the prompt's first `count` blocks."""
    key = first_key(b"")
    for start in range(0, count * BLOCK, BLOCK):
        key = next_key(key, PROMPT[start : start + BLOCK])
    return list(prefixes.glob(f"*-{key.hex()}.block"))


def test_what_one_rank_lacks_none_has(checkpoint, prefixes):
    expected, *_ = run(checkpoint, disk=None, dtype="float32")
    assert run(checkpoint, dtype="float32", tensor_parallel=2)[:2] == (expected, 0)
    one, _ = files_of(prefixes, 3)
    one.unlink()
    assert run(checkpoint, dtype="float32", tensor_parallel=2)[:2] == (expected, 2 * BLOCK)
    assert run(checkpoint, dtype="float32", tensor_parallel=2)[:2] == (expected, FOUND), "it was written again"


PROGRAM = """
import json, sys
from plugtron import LLM, SamplingParams
checkpoint, block, prompt = json.loads(sys.argv[1])
options = {"engine.options.block_size": block, "engine.options.prefix_cache_disk": "64MiB"}
with LLM(checkpoint, engine="dynamic", overrides=options) as llm:
    request = llm.generate(prompt, SamplingParams(temperature=0, max_tokens=6, ignore_eos=True))
    print(json.dumps([request.tokens, request.cached_tokens, llm.session.engine.stats.disk_tokens]))
"""


def test_two_processes_at_once_and_one_after_them(prefixes):
    def start():
        asked = json.dumps([str(CHECKPOINT), BLOCK, PROMPT])
        return subprocess.Popen([sys.executable, "-c", PROGRAM, asked], stdout=subprocess.PIPE, text=True)

    def found(process):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return json.loads(output)

    both = [start(), start()]
    (tokens, *_), others = map(found, both)
    assert others[0] == tokens
    assert {path.suffix for path in prefixes.iterdir()} == {".block"}
    assert run(CHECKPOINT)[:2] == (tokens, FOUND)


def other_weights(folder):
    models.make("llama_untied", seed=33).save_pretrained(folder)


def touched(folder):
    for file in folder.glob("*.safetensors"):
        os.utime(file)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "bfloat16"},
        {"quantization": "int8"},
        {"overrides": {"execution": "eager"}},
        {"overrides": {"deterministic": True}},
        {"overrides": {"model.kv_dtype": "int8"}},
        {"overrides": {"engine.options.block_size": 4}},
        other_weights,
        touched,
        pytest.param({"tensor_parallel": 2}, marks=pytest.mark.wide),
        pytest.param({"pipeline_parallel": 2}, marks=pytest.mark.wide),
        pytest.param({"overrides": {"execution": "eager", "model.kv_dtype": "fp8"}}, marks=pytest.mark.wide),
    ],
    ids=lambda change: getattr(change, "__name__", str(change)),
)
def test_what_is_of_anything_else_is_not_found(change, checkpoint, prefixes, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    assert run(folder, dtype="float32")[1] == 0
    arguments = {} if callable(change) else change
    if callable(change):
        change(folder)
    assert run(folder, **{"dtype": "float32", **arguments})[1] == 0


def test_what_makes_no_difference_is_found(checkpoint, prefixes):
    run(checkpoint, dtype="float32")
    alike = {"engine.options.max_step_tokens": 9, "engine.options.max_batch_size": 3, "threads": 1}
    assert run(checkpoint, dtype="float32", overrides=alike)[1] == FOUND
    longer = [*PROMPT, *range(60, 80)]
    assert run(checkpoint, longer, dtype="float32", disk="1GiB")[1] == FOUND
    assert run(checkpoint, [*PROMPT[:20], *PROMPT], dtype="float32")[1] == 2 * BLOCK


def test_salts_are_kept_apart(checkpoint, prefixes):
    def cached(salt):
        with opened(checkpoint, dtype="float32") as llm:
            request = InferenceRequest(prompt=PROMPT, params=GREEDY, cache_salt=salt)
            assert list(llm.session.run([request]))
            return request.cached_tokens

    assert [cached("a"), cached("b"), cached("a"), cached("")] == [0, 0, FOUND, 0]


def test_weights_that_come_later(checkpoint, prefixes, tmp_path):
    """What is computed with them is not kept, and what was kept is not found; those that are read again are theirs."""
    folder, other = tmp_path / "model", tmp_path / "other"
    shutil.copytree(checkpoint, folder)
    shutil.copytree(checkpoint, other)
    other_weights(other)
    before, *_ = run(folder, dtype="float32")
    kept = sorted(prefixes.iterdir())
    with opened(other, disk=None, dtype="float32") as llm:
        expected = llm.generate(PROMPT, GREEDY).tokens
    with opened(folder, dtype="float32") as llm:
        llm.control.update_weights(other)
        request = llm.generate(PROMPT, GREEDY)
        assert (request.tokens, request.cached_tokens) == (expected, 0)
        llm.control.update_weights(folder)
        request = llm.generate(PROMPT, GREEDY)
        assert (request.tokens, request.cached_tokens) == (before, 0)
    assert sorted(prefixes.iterdir()) == kept
    with opened(folder, dtype="float32") as llm:
        llm.control.sleep(weights=True)
        llm.control.wake()
        request = llm.generate(PROMPT, GREEDY)
        assert (request.tokens, request.cached_tokens) == (before, FOUND)
        llm.control.sleep(weights=True)
        other_weights(folder)
        llm.control.wake()
        request = llm.generate(PROMPT, GREEDY)
        assert (request.tokens, request.cached_tokens) == (expected, 0)


def test_log_probabilities_of_a_prompt(checkpoint, prefixes):
    asked = {"temperature": 0, "max_tokens": 2, "prompt_logprobs": 2}

    def values(request):
        return [entry and (entry.token, round(entry.value, 4)) for entry in request.prompt_log_probs]

    with opened(checkpoint, disk=None, dtype="float32") as llm:
        expected = llm.generate(PROMPT, asked)
    run(checkpoint, dtype="float32")
    with opened(checkpoint, dtype="float32") as llm:
        whole = llm.generate(PROMPT, asked)
        assert (values(whole), whole.cached_tokens) == (values(expected), 0)
    with opened(checkpoint, dtype="float32") as llm:
        end = llm.generate(PROMPT, {**asked, "prompt_logprobs_start": 50})
    assert (values(end)[50:], end.cached_tokens) == (values(expected)[50:], 48)


def test_a_damaged_block_ends_what_is_found(checkpoint, prefixes):
    expected, *_ = run(checkpoint, dtype="float32")
    (path,) = files_of(prefixes, 3)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="is not used: it is damaged"):
        assert run(checkpoint, dtype="float32")[:2] == (expected, 2 * BLOCK)
    assert run(checkpoint, dtype="float32")[:2] == (expected, FOUND)


def test_the_bound_holds_and_what_is_used_stays(prefixes):
    bound, prompts = 300_000, [[at] * 40 for at in range(30)]
    with opened(CHECKPOINT, disk=f"{bound}B", dtype="float32", overrides={"engine.options.blocks": 40}) as llm:
        for prompt in prompts:
            llm.generate([prompts[0], prompt], GREEDY)
            assert sum(file.stat().st_size for file in prefixes.iterdir()) <= bound
    assert run(CHECKPOINT, prompts[0], dtype="float32")[1] == 32
    assert run(CHECKPOINT, prompts[-1], dtype="float32")[1] == 32
    assert run(CHECKPOINT, prompts[1], dtype="float32")[1] == 0


def test_few_blocks_of_memory(prefixes):
    """What is read takes the place of what nobody holds, and no more than there is."""
    prompts = [[first, *PROMPT[:50]] for first in range(5)]
    with opened(CHECKPOINT, disk=None, dtype="float32") as llm:
        expected = [llm.generate(prompt, GREEDY).tokens for prompt in prompts]
    for _ in range(2):
        with opened(CHECKPOINT, dtype="float32", overrides={"engine.options.blocks": 9}) as llm:
            requests = llm.generate(prompts, GREEDY)
            assert [request.tokens for request in requests] == expected
            assert llm.session.engine.context.pool.held == 0
    assert [request.cached_tokens for request in requests] == [48] * 5


class Silent(SimpleTextGenerationController):
    """A controller that does not know what its memory depends on."""

    def kv_origin(self):
        return None


def test_what_cannot_be(checkpoint, own):
    with pytest.raises(SpecError, match=r"prefix_cache_disk: 1024 bytes are too few, a block takes .* or more"):
        opened(checkpoint, disk="1KiB", dtype="float32")
    with pytest.raises(SpecError, match="prefix_cache_disk needs prefix_caching: true"):
        opened(checkpoint, overrides={"engine.options.prefix_caching": False})
    with (
        opened(checkpoint, disk=None, dtype="float32") as llm,
        pytest.raises(SpecError, match="Silent and its model do not say what their keys and values depend on"),
    ):
        DynamicEngine(Silent(llm.session.parts.wrapper), DynamicOptions(prefix_cache_disk="64MiB"))
    (own / "prefixes").mkdir(mode=0o777)
    (own / "prefixes").chmod(0o777)
    with pytest.warns(UserWarning, match="prefixes are not kept on disk: others may write to"):
        assert run(checkpoint, dtype="float32")[1] == 0
    assert not list((own / "prefixes").iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.gpu
def test_on_a_gpu(checkpoint, prefixes):
    expected, *_ = run(checkpoint, disk=None, dtype="bfloat16")
    assert [run(checkpoint, dtype="bfloat16")[:2] for _ in range(2)] == [(expected, 0), (expected, FOUND)]
