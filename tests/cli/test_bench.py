"""plugtron bench, over a small checkpoint in processes of their own."""

import json
import re
from pathlib import Path
from statistics import correlation
from xml.etree import ElementTree

import pytest
from support.commands import plugtron

from plugtron.bench.summary import Spread
from plugtron.bench.timeline import Bar, Panel, draw
from plugtron.bench.workload import Workload, poisson

SVG = "{http://www.w3.org/2000/svg}"
CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
SMALL = ["--prompt-tokens", "4-40", "--output-tokens", "2-9", "--requests", "6", "--repeat", "2"]


def bench(*arguments):
    return plugtron("bench", *arguments, timeout=120)


def test_both_engines_run_the_same_requests():
    done = bench("throughput", "--model", CHECKPOINT, "--engine", "static", "--engine", "dynamic", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["workload"]["prompt_tokens"] == [4, 40]
    static, dynamic = (found["engines"][name]["repetitions"] for name in ("static", "dynamic"))
    assert len(static) == len(dynamic) == 2
    for one, other in zip(static, dynamic, strict=True):
        for count in ("requests", "prompt_tokens", "output_tokens", "failed"):
            assert one[count] == other[count]
        assert one["time_to_first_token"]["mean"] > 0
    # Fresh ones in each repetition.
    assert static[0]["prompt_tokens"] != static[1]["prompt_tokens"]


def test_arrivals_and_a_shared_prefix():
    done = bench(
        "arrivals", "--rate", 200, "--model", CHECKPOINT, "--engine", "dynamic", *SMALL, "--json",
        "--shared-prefix", 64, "--set", "engine.options.max_batch_size=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (engine,) = json.loads(done.stdout)["engines"].values()
    assert engine["options"]["max_batch_size"] == 2
    assert engine["repetitions"][0]["cached_tokens"] >= 64 * 4
    assert engine["repetitions"][0]["queue"]["most"] > 0


def test_latency_of_prompts_in_a_file(tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('[5, 6, 7]\n{"tokens": [9], "sampling": {"max_tokens": 3}}\n')
    spec = tmp_path / "run.yaml"
    spec.write_text(
        f"model: {{checkpoint: {CHECKPOINT}}}\nsampling: {{temperature: 0, max_tokens: 4, ignore_eos: true}}\n"
    )
    gone = bench("latency", spec, "--prompts", tmp_path / "gone.jsonl")
    assert gone.returncode == 2
    assert "cannot read" in gone.stderr
    done = bench("latency", spec, "--prompts", prompts, "--repeat", 1, "--engine", "dynamic")
    assert done.returncode == 0, done.stderr
    assert "2 requests in" in done.stdout
    assert "4 prompt tokens (0 from memory), 7 generated" in done.stdout
    assert "time to first token" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--prompt-tokens", "9-3"], 2, "a range goes from its least to its greatest"),
        (["--output-tokens", "many"], 2, "is no number and no range such as 16-512"),
        (["--engine", "dynamik"], 2, "Did you mean 'dynamic'?"),
        (["--prompt-tokens", "5000"], 2, "all 6 requests failed: the prompt has 5000 tokens"),
        (["spec.yaml"], 2, "give SPEC or --model, not both"),
        (["--prompts", "some.jsonl", "--seed", "3"], 2, "--seed would mean nothing"),
        (["--engine", "static", "--engine", "dynamic", "--set", "parallel.tensor=2"], 2, "give one --engine"),
    ],
)
def test_mistakes(arguments, code, text):
    done = bench("throughput", "--model", CHECKPOINT, *SMALL, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_a_seed_says_all_of_a_workload():
    shape = Workload(requests=20, prompt_tokens=(3, 9), output_tokens=(1, 4), shared_prefix=5)
    first, second = ([request.prompt for request in shape.make(50, (7, 8))] for _ in range(2))
    assert first == second
    assert len({tuple(prompt[:5]) for prompt in first}) == 1
    assert not {7, 8} & {token for prompt in first for token in prompt}
    times = poisson(2000, 8.0, 1)
    assert times[0] == 0.0
    assert times == sorted(times)
    assert 2000 / times[-1] == pytest.approx(8.0, rel=0.1)


def test_arrivals_do_not_follow_lengths():
    lengths, gaps = [], []
    for seed in range(300):
        workload = Workload(requests=2, prompt_tokens=(16, 512), output_tokens=(1, 1), seed=seed)
        lengths.append(len(workload.make(9)[0].prompt))
        gaps.append(poisson(2, 1.0, seed)[1])
    assert abs(correlation(lengths, gaps)) < 0.2


def test_spread():
    spread = Spread.of([4.0, None, 1.0, 2.0, 3.0, 5.0])
    assert (spread.mean, spread.median, spread.most) == (3.0, 3.0, 5.0)
    assert 4.5 < spread.p95 < 5.0
    assert Spread.of([None]) is None
    assert Spread.of([2.0]).p95 == 2.0


def test_a_profile_shows_the_stages_of_each_step(tmp_path):
    trace = tmp_path / "trace.json"
    done = bench("latency", "--model", CHECKPOINT, *SMALL, "--profile", trace)
    assert done.returncode == 0, done.stderr
    events = json.loads(trace.read_text())["traceEvents"]
    assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
    steps = [event for event in events if event["tid"] == "engine"]
    stages = [event for event in events if event["tid"] == "native"]
    assert {"attend", "rotate", "gelu", "normalize", "prepare"} < {event["name"] for event in stages}
    assert any(event["name"].startswith("linear ") for event in stages)
    # Every stage lies within a step.
    for stage in stages:
        assert any(
            step["ts"] <= stage["ts"] and stage["ts"] + stage["dur"] <= step["ts"] + step["dur"] for step in steps
        )

    # The picture: the first step, and a few of those after it.
    picture = ElementTree.parse(tmp_path / "trace.svg").getroot()
    bars = [(bar[0].text.partition(": ")[0], float(bar.get("width"))) for bar in picture.iter(f"{SVG}rect") if len(bar)]
    names = {name for name, _ in bars}
    assert names == {event["name"] for event in events} | {"all else"}
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"0", "step"} <= set(texts)
    for kind in ("matrix products", "attention", "norms and activations", "all else"):
        assert any(
            re.fullmatch(rf"{kind}: [0-9.]+ % of the prompt, [0-9.]+ % of the steps after it", text) for text in texts
        )
    # Steps are full of what is in them.
    whole = sum(width for name, width in bars if name == "step")
    assert sum(width for name, width in bars if name not in ("step", "start", "finish")) == pytest.approx(whole, abs=1)
    assert 1.9 * 860 < whole <= 2 * 860 + 1, "of two axes"


def test_a_profile_of_an_execution_that_is_not_divided(tmp_path):
    done = bench(
        "latency", "--model", CHECKPOINT, *SMALL, "--profile", tmp_path / "trace.json", "--set", "execution=eager"
    )
    assert done.returncode == 0, done.stderr
    picture = ElementTree.parse(tmp_path / "trace.svg").getroot()
    names = {bar[0].text.partition(": ")[0] for bar in picture.iter(f"{SVG}rect") if len(bar)}
    assert names == {"step", "start", "finish", "all else"}


def test_what_a_picture_says_is_escaped():
    picture = draw(
        "a < b & c", [Panel("all", '"<x>"', [Bar("<script>", "&", 0, 10**6), Bar("<script>", "&", 10**6, 10**6 + 1)])]
    )
    found = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    assert {"a < b & c", '"<x>"', "<script>", "&: 100.0 % of all"} <= set(found)


@pytest.mark.parametrize("execution", ["native", "eager"])
def test_limits(execution):
    done = bench("limit", "--model", CHECKPOINT, "--json", "--set", f"execution={execution}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["weight_bytes"] > 0
    assert all(value > 0 for value in found.values())


def test_a_profile_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    done = bench("latency", "--model", CHECKPOINT, *SMALL, "--profile", tmp_path / "gone" / "trace.json")
    assert done.returncode == 2
    assert "trace.json cannot be written: No such file or directory" in done.stderr
    done = bench("latency", "--model", CHECKPOINT, *SMALL, "--profile", tmp_path / "trace.svg")
    assert done.returncode == 2
    assert "the trace is JSON" in done.stderr
    assert not list(tmp_path.iterdir())
