"""Spec files as people write them: byte order marks, anchors, variables, their own folder, others' words for things."""

import json
import shutil

import pytest
from support.commands import plugtron

from plugtron import LLM
from plugtron.errors import SpecError
from plugtron.plugin.manager import PluginManager
from plugtron.spec.dump import dump
from plugtron.spec.load import read
from plugtron.spec.model import DEFAULT_CHAIN
from plugtron.spec.overrides import apply, split
from plugtron.spec.resolution import resolve

MODEL = "model: {checkpoint: smollm2-135m-instruct}\n"


@pytest.fixture(scope="module")
def manager():
    return PluginManager(builtins_only=True)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """What `plugtron check` says of a text, and how it ends; run beside the file's folder, not in it."""
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    folder = tmp_path / "specs"
    folder.mkdir()

    def checked(text, *arguments, name="run.yaml"):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        done = plugtron("check", f"specs/{name}", *arguments, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    return checked


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + f"version: 1\n{MODEL}prompts: [a]\n".encode(),
        f"version: 1\nx-cold: &cold {{temperature: 0}}\n{MODEL}sampling: *cold\nprompts: [a]\n",
        f"version: 1\n{MODEL}sampling: {{ignore_eos: yes}}\nprompts: [a]\n",
        f"version: 1\nx-cold: &cold {{temperature: 0}}\n{MODEL}sampling: {{<<: *cold, max_tokens: 3}}\nprompts: [a]\n",
    ],
)
def test_a_byte_order_mark_own_keys_and_yes(text, check):
    assert check(text) == (0, "specs/run.yaml: ok\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"version: 1\n{MODEL}---\nversion: 1\n", "run.yaml:3: it holds several documents, divided by ---"),
        ("version: 1\nmodel: {checkpoint: '${NO_SUCH_VARIABLE}'}\n", "NO_SUCH_VARIABLE"),
        (f"version: 1\n{MODEL}prompts: []\n", "run.yaml:3: prompts: there is none"),
        (f"version: 1\n{MODEL}prompts: {{file: nowhere.jsonl}}\n", "run.yaml:3: prompts.file: cannot read "),
        (f"version: 1\n{MODEL}prompts: [a]\noutput: {{file: no/where.jsonl}}\n", ":4: output.file: there is no folder"),
        (f"version: 1\n{MODEL}prompts: [yes]\n", "prompts.0: must be a text, a list of token ids"),
        (f"version: 1\n{MODEL}prompts: [yes]\n", "a text such as yes, no, null or 3 needs quotes"),
        (f"version: 1\n{MODEL}sampling: {{ignore_eos: 'yes'}}\nprompts: [a]\n", "must be true or false (got 'yes')"),
        (f"version: 1\n{MODEL}sampling: {{temperature: '0.5'}}\nprompts: [a]\n", "sampling.temperature: "),
        (f"version: 1\n{MODEL}sampling: {{max_new_tokens: 4}}\nprompts: [a]\n", "no such parameter. Here: max_tokens"),
        (f"version: 1\n{MODEL}tensor_parallel_size: 2\nprompts: [a]\n", "Here: parallel.tensor"),
        (f"version: 1\n{MODEL}prompts: [a]\noutput: {{file: .}}\n", "is a folder: name a file in it"),
        (f"version: 1\n{MODEL}prompts: [a]\noutput: {{file: {'a' * 300}}}\n", "File name too long"),
        (f"version: 1\n{MODEL}prompts: {{file: {'a' * 300}}}\n", "File name too long"),
        (f"version: 1\n{MODEL}prompts: {{file: ~no-such-user/x}}\n", "this machine has no user 'no-such-user'"),
        (f"version: 1\n{MODEL}prompts: [a]\nchat_template: missing.jinja\n", "chat_template: "),
        ("version: !!timestamp x\n", "run.yaml:1: 'x' reads as YAML's timestamp, and is none: quote a text"),
        ("version: 1\nseed: !!bool x\n", "run.yaml:2: 'x' reads as YAML's bool, and is none: quote a text"),
        (f"version: 1\n{MODEL}prompts: [2020-13-45]\n", "run.yaml:3: '2020-13-45' reads as YAML's timestamp"),
        (f"version: 1\n{MODEL}? [a]\n: 1\n", "run.yaml:3: a key is a name, not a list or a mapping"),
        (f"version: 1\n{MODEL}prompts: [a]\n7: x\n", "run.yaml:4: 7: must be a name: a text (got 7)"),
        (f"version: 1\nx: {'[' * 3000}{']' * 3000}\n", "run.yaml: it is nested too deeply"),
        (f"version: true\n{MODEL}prompts: [a]\n", "run.yaml:1: version: must be 1 (got 'true')"),
        (f"version: 1\n{MODEL}prompts: [[]]\n", "run.yaml:3: prompts.0: is empty"),
        (f"version: 1\n{MODEL}prompts: [{{tokens: [1], priority: {10**23}}}]\n", "0.priority: must be less than"),
        (f"version: 1\n{MODEL}prompts: [{{tokens: [1], deadline: .inf}}]\n", "0.deadline: must be a finite number"),
        (f"version: 1\n{MODEL}prompts: [a]\nparallel: {{timeout: .nan}}\n", "must be a finite number (got nan)"),
        (f"version: 1\n{MODEL}prompts: [a]\nparallel: {{timeout: 2.0e+7}}\n", "timeout: must be at most 10000000 (got"),
        (f"version: 1\n{MODEL}prompts: [a]\nparallel: {{tensor: 0x{'f' * 5000}}}\n", "a number of 20000 bits"),
        (f"version: 1\n{MODEL}parallel: {{tensor: 2}}\nprompts: [a]\n", "cannot share the model's 9 attention heads"),
    ],
)  # fmt: skip
def test_what_check_finds_before_anything_is_loaded(text, message, check):
    code, said = check(text)
    assert code == 2
    assert message in said


def test_overrides_count_in_order_and_take_the_blame(check):
    text = f"version: 1\n{MODEL}prompts: [a]\n"
    assert check(text, "--set", "sampling.temperature=-1", "--set", "sampling.temperature=0.5")[0] == 0
    code, said = check(text, "--set", "sampling.temperature=-1")
    assert code == 2
    assert said.startswith("--set: sampling.temperature: must be at least 0 (got -1)")


def test_a_path_that_cannot_be_completed_is_said_once(check):
    code, said = check("version: 1\nmodel: {checkpoint: ~no-such-user/x}\nprompts: {file: ~no-such-user/x}\n")
    assert code == 2
    assert len(said.splitlines()) == 2


def test_mistakes_in_python_are_not_blamed_on_the_command_line():
    with pytest.raises(SpecError, match=r"^overrides: parallel\.tensr: no such option"):
        LLM("smollm2-135m-instruct", overrides={"parallel.tensr": 2})
    with pytest.raises(SpecError, match=r"^overrides: prompts\.3: the spec has no prompts"):
        LLM("smollm2-135m-instruct", overrides={"prompts.3": "x"})
    for model in (None, 3, b"x"):
        with pytest.raises(SpecError, match=r"model\.checkpoint: must be a text"):
            LLM(model)


def test_show_numbers_the_samplers_as_it_writes_them(manager, tmp_path):
    (tmp_path / "run.yaml").write_text(f"version: 1\n{MODEL}samplers: [default, temperature]\n")
    text = dump(resolve(read(tmp_path / "run.yaml"), manager))
    written = [f"samplers.{number}" for number in range(len(DEFAULT_CHAIN) + 1)]
    assert [line.split()[1] for line in text.splitlines() if line.startswith("# samplers")] == written


def test_an_error_lists_the_first_of_many_mistakes(check):
    keys = "".join(f"key{number}: 1\n" for number in range(1000))
    code, said = check(f"version: 1\n{MODEL}prompts: [a]\n{keys}")
    assert code == 2
    assert said.splitlines()[-1] == "and 800 more mistakes"


def test_ranks_that_cannot_be_are_not_started(check, tmp_path):
    check(f"version: 1\n{MODEL}prompts: [a]\n")
    done = plugtron("run", "specs/run.yaml", "--set", "parallel.tensor=2", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    expected = "--set: parallel.tensor: 2 ranks cannot share the model's 9 attention heads (accepted: 1, 3, 9)\n"
    assert done.stderr == expected
    done = plugtron("run", "specs/run.yaml", "--set", "parallel.data=60000", cwd=tmp_path, check=2)
    assert "--set: parallel: 60000 ranks are too many for this machine's " in done.stderr


def test_paths_stand_beside_their_file_and_those_of_overrides_here(tmp_path, monkeypatch, manager):
    (tmp_path / "specs").mkdir()
    spec = tmp_path / "specs" / "run.yaml"
    (tmp_path / "specs" / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    spec.write_text(f"version: 1\n{MODEL}prompts: {{file: prompts.jsonl}}\n")
    monkeypatch.chdir(tmp_path)
    resolved = resolve(read(spec), manager)
    assert resolved.spec.model_dump()["prompts"]["file"] == str(tmp_path / "specs" / "prompts.jsonl")
    (tmp_path / "here.jsonl").write_text('{"prompt": "a"}\n')
    resolved = resolve(apply(read(spec), split(["prompts.file=here.jsonl"])), manager)
    assert (tmp_path / resolved.spec.model_dump()["prompts"]["file"]).samefile(tmp_path / "here.jsonl")


def test_variables_and_home(tmp_path, monkeypatch, manager):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROMPTS", "mine")
    (tmp_path / "mine.jsonl").write_text('{"prompt": "a"}\n')
    for written in ("~/mine.jsonl", "${HOME}/${PROMPTS}.jsonl"):
        spec = tmp_path / "run.yaml"
        spec.write_text(f"version: 1\n{MODEL}prompts: {{file: '{written}'}}\n")
        assert resolve(read(spec), manager).spec.model_dump()["prompts"]["file"] == str(tmp_path / "mine.jsonl")


def test_a_checkpoints_own_sampling(random_model, tmp_path):
    folder = shutil.copytree(random_model("llama_tied")[1], tmp_path / "model")
    own = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "typical_p": 0.9}
    (folder / "generation_config.json").write_text(json.dumps(own))
    (tmp_path / "run.json").write_text(
        json.dumps(
            {
                "version": 1,
                "model": {"checkpoint": str(folder)},
                "tokenizer": "ids",
                "sampling_defaults": "checkpoint",
                "sampling": {"top_k": 5},
            }
        )
    )
    done = plugtron("show", tmp_path / "run.json", check=0)
    assert "temperature: 0.6" in done.stdout
    assert "top_k: 5" in done.stdout
    assert "typical_p: 0.9" in done.stdout


def test_earlier_names_are_taken(manager, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "version: 1\nmodel: {checkpoint: smollm2-135m-instruct, quantization: native}\n"
        "engine: {name: dynamic, options: {memory: 1GiB, share_prefixes: false, asynchronous: true}}\n"
    )
    resolved = resolve(read(tmp_path / "run.yaml"), manager)
    assert resolved.spec.model.quantization.name == "as_stored"
    options = resolved.spec.engine.options
    assert (options["kv_cache_memory"], options["prefix_caching"], options["async_scheduling"]) == (2**30, False, True)
    source = apply(read(tmp_path / "run.yaml"), {"engine.options.kv_cache_memory": "2GiB"})
    with pytest.raises(SpecError, match="kv_cache_memory: is given twice"):
        resolve(source, manager)


def test_aliases_that_unfold_without_end_are_counted(tmp_path):
    """A billion laughs, which took for ever; an alias for each of many values is no laugh."""
    levels = "".join(f"l{level + 1}: &l{level + 1} [{', '.join([f'*l{level}'] * 10)}]\n" for level in range(8))
    (tmp_path / "run.yaml").write_text(f"l0: &l0 x\n{levels}")
    with pytest.raises(SpecError, match=r"run\.yaml: it unfolds to more than 1,000,000 values"):
        read(tmp_path / "run.yaml")
    aliases = "".join("- *cold\n" for _ in range(1000))
    (tmp_path / "run.yaml").write_text(f"x-cold: &cold {{a: 1}}\nprompts:\n{aliases}")
    assert len(read(tmp_path / "run.yaml").values["prompts"]) == 1000


@pytest.mark.parametrize("name", ["run.yaml", "run.json"])
def test_a_second_key_is_found_among_very_many(name, tmp_path):
    """In time that grows with the file's size: comparing each with each would take hours."""
    keys = [f'"key{number}": {number}' for number in range(200_000)]
    (tmp_path / name).write_text("{" + ",\n".join([*keys, '"key7": 0']) + "}")
    with pytest.raises(SpecError, match=r"key7: stands (here a second time|twice in one mapping)"):
        read(tmp_path / name)
