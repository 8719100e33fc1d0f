"""plugtron bench arrivals with recorded arrivals, and over simulated replicas."""

import json
import subprocess
import sys

import pytest

NUMBERS = ["--rate", "40", "--requests", "60", "--prompt-tokens", "8-40", "--output-tokens", "4-12"]
SHARED = ["--shared-prefix", "256", "--prefixes", "6", "--cost", "0.005,0.0004,0.0001"]


def arrivals(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "plugtron", "bench", "arrivals", *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def found(*arguments):
    done = arrivals(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_engine_runs_recorded_arrivals(checkpoint, tmp_path):
    file = tmp_path / "arrivals.jsonl"
    lines = [
        {"time": 100.2, "prompt_tokens": 40, "prefix": "a", "prefix_tokens": 36, "output_tokens": 3},
        {"time": 100.0, "prompt_tokens": 38, "prefix": "a", "prefix_tokens": 36, "output_tokens": 2},
        {"time": 100.3, "prompt": [5, 6, 7], "output_tokens": 4},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    common = ("--recorded", file, "--model", checkpoint, "--engine", "dynamic", "--repeat", 2)
    engine = found(*common)["engines"]["dynamic"]
    for each in engine["repetitions"]:
        assert (each["prompt_tokens"], each["output_tokens"], each["cached_tokens"]) == (81, 9, 32)
        assert each["seconds"] >= 0.3


def test_prefix_aware_routing_finds_more_in_memory(checkpoint):
    runs = found(*NUMBERS, *SHARED, "--replicas", 1, "--replicas", 6, "--model", checkpoint)
    assert runs["cost"] == {"step": 0.005, "row": 0.0004, "prompt_token": 0.0001}
    assert runs["engine"] == "dynamic"
    fleets = {(fleet["replicas"], fleet["routing"]): fleet for fleet in runs["fleets"]}
    assert len(fleets) == 6
    # Over one replica all ways are one.
    assert len({fleet["hit_rate"] for (count, _), fleet in fleets.items() if count == 1}) == 1
    spread, aware = fleets[6, "round_robin"], fleets[6, "prefix"]
    assert spread["busiest"] == 1.0
    assert aware["hit_rate"] > 0.7 > 0.5 > spread["hit_rate"]
    assert aware["summary"]["time_to_first_token"]["mean"] < spread["summary"]["time_to_first_token"]["mean"]
    assert aware["summary"]["output_tokens"] == spread["summary"]["output_tokens"]


def test_costs_are_measured_where_they_are_not_given(checkpoint):
    load = ["--rate", 50, "--requests", 12, "--prompt-tokens", "8-16", "--output-tokens", 4, "--model", checkpoint]
    done = arrivals(*load, "--replicas", 2, "--scale-load", "--routing", "least_loaded")
    assert done.returncode == 0, done.stderr
    first, titles, row, explained = done.stdout.splitlines()
    assert first.startswith("a step costs ")
    assert "steps, half of them within" in first
    assert titles.split()[:3] == ["replicas", "routing", "requests"]
    assert row.split()[:3] == ["2", "least_loaded", "24"]
    assert explained.startswith("cached: ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rate", "3", "--cost", "1,2,3"], "without --replicas, --cost would mean nothing"),
        (["--rate", "3", "--recorded", "x"], "give --rate or --recorded, one of them"),
        ([], "give --rate or --recorded, one of them"),
        (["--recorded", "gone.jsonl"], "--recorded: cannot read gone.jsonl: No such file or directory"),
        (["--recorded", "gone.jsonl", "--seed", "3"], "with --recorded, --seed would mean nothing"),
        (["--rate", "3", "--replicas", "2", "--repeat", "2"], "with --replicas, --repeat would mean nothing"),
        (["--rate", "3", "--replicas", "2", "--cost", "1,2"], "is not three numbers of seconds from 0 up"),
        (["--rate", "3", "--replicas", "2", "--cost", "1,2,-3"], "is not three numbers of seconds from 0 up"),
        (["--rate", "3", "--replicas", "2", "--engine", "static", "--engine", "dynamic"], "give one --engine"),
        (
            ["--rate", "3", "--replicas", "2", "--cost", "1,1,1", "--set", "engine.options.kv_cache_memory=1MiB"],
            "engine.options.kv_cache_memory: how many bytes a block takes is not known with --cost",
        ),
        pytest.param(
            ["--rate", "3", "--replicas", "2", "--cost", "1,1,1", "--prompt-tokens", "5000"],
            "all 16 requests failed: the prompt has 5000 tokens",
            marks=pytest.mark.wide,
        ),
        pytest.param(
            ["--rate", "3", "--replicas", "2", "--set", "parallel.pipeline=2"],
            "parallel.pipeline: several steps are under way at once",
            marks=pytest.mark.wide,
        ),
    ],
)
def test_mistakes(checkpoint, arguments, text):
    done = arrivals("--model", checkpoint, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr


def test_mistakes_of_a_recording(checkpoint, tmp_path):
    file = tmp_path / "arrivals.jsonl"
    file.write_text(
        '{"time": 1, "prompt_tokens": 4, "output_tokens": 1}\n'
        '{"time": -1, "prompt_tokens": 4, "output_tokens": 1}\n'
        '{"time": 1, "output_tokens": 1}\n'
        '{"time": 1, "prompt_tokens": 4, "prefix": "a", "output_tokens": 1}\n'
        '{"time": 1, "prompt_tokens": 4, "prefix": "a", "prefix_tokens": 5, "output_tokens": 1}\n'
        '{"time": 1, "prompt": [-4], "output_tokens": 1}\n'
        '{"at": 1, "prompt_tokens": 4, "output_tokens": 1}\n'
        "nothing\n"
    )
    done = arrivals("--recorded", file, "--model", checkpoint)
    assert done.returncode == 2
    for number, text in {
        2: "time: must be at least 0 (got -1)",
        3: "give prompt or prompt_tokens, one of them",
        4: "give prefix and prefix_tokens, or neither",
        5: "prefix_tokens: of a prompt of prompt_tokens, which are no fewer",
        6: "prompt.0: must be at least 0 (got -4)",
        7: "at: no such option",
        8: "not JSON",
    }.items():
        assert any(f"{file}:{number}" in line and text in line for line in done.stderr.splitlines()), done.stderr
