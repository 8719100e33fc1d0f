"""A run that was recorded is done again."""

import json

import pytest
from support.commands import plugtron


@pytest.fixture(scope="module")
def record(random_model, tmp_path_factory):
    """Two answers each, drawn with seeds that nobody chose."""
    folder = tmp_path_factory.mktemp("record")
    spec = {"version": 1, "model": {"checkpoint": str(random_model("llama_untied")[1]), "dtype": "float32"}}
    spec |= {
        "sampling": {"temperature": 0.9, "max_tokens": 9, "n": 2},
        "prompts": [{"tokens": [5, 6]}, {"tokens": [7]}],
    }
    spec["prompts"].append({"tokens": [10**6]})
    (folder / "run.json").write_text(json.dumps(spec))
    done = plugtron("run", folder / "run.json", "--record", folder / "record.json", check=0)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return folder / "record.json", lines


def test_it_has_all_that_is_needed(record):
    path, lines = record
    found = json.loads(path.read_text())
    assert found["digest"].startswith("sha256:")
    assert {"plugtron", "torch"} <= found["versions"].keys()
    assert "prompts" not in found["spec"]
    answers = [answer for request in found["requests"][:2] for answer in request["answers"]]
    assert answers == [line["tokens"] for line in lines[:4]]
    assert found["requests"][2]["error"]


def test_the_same_tokens_also_in_another_engine(record):
    path, _ = record
    for overrides in ((), ("--set", "engine=dynamic", "--set", "controller=speculative")):
        done = plugtron("replay", path, *overrides)
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["same"] for line in done.stdout.splitlines()] == [True, True]
        assert "2 of 2 requests gave the tokens that were recorded" in done.stderr


def test_what_differs_is_said(record, tmp_path):
    path, _ = record
    found = json.loads(path.read_text())
    changed = found["requests"][1]["answers"][1]
    changed[3] = (changed[3] + 1) % 300
    found["versions"]["torch"] = "1.0"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(found))
    done = plugtron("replay", other)
    first, second = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, first["same"]) == (1, True)
    assert (second["answer"], second["position"], second["recorded"]) == (1, 3, [changed[3]])
    assert "note: torch was 1.0 and is" in done.stderr


def test_what_is_no_record(record, tmp_path):
    path, _ = record
    found = json.loads(path.read_text())
    bad = tmp_path / "bad.json"
    for text, said in (
        ("{", "it is not JSON"),
        ("[]", "bad.json"),
        (json.dumps({**found, "spec": {**found["spec"], "seed": 3}}), "the spec is another"),
        (json.dumps({**found, "record": 2}), "record"),
    ):
        bad.write_text(text)
        done = plugtron("replay", bad)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert plugtron("replay", tmp_path / "none.json").returncode == 2
    spec = tmp_path / "run.json"
    spec.write_text(json.dumps({**found["spec"], "prompts": ["a"]}))
    done = plugtron("run", spec, "--record", tmp_path / "no" / "folder.json")
    assert (done.returncode, "cannot write" in done.stderr) == (2, True)
