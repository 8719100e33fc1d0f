"""plugtron plugins check, and check SPEC: what is wrong with a plugin is said before a run, in a line each."""

import json
import subprocess
import sys

import pytest
from support.commands import plugtron

HEAD = """
import os
import click
from plugtron import Component, Need, Options, Params, hookimpl
from plugtron.contracts import CheckpointReader, Parser, Sampler
"""

COSTS = f"""{HEAD}
import torch
print("hello")
os.write(1, b"from C")

@hookimpl
def plugtron_samplers():
    os.system("echo offering >&2")
    return []
"""

PARTS = f"""{HEAD}

class Given(Options):
    number: int = "three"


class Temperature(Params):
    temperature: float | None = None


class Wanted(Params):
    acme_wanted: int = 3


class Unbuilt(Sampler):
    def apply(self, candidates):
        return candidates


class Bound(Unbuilt):
    def assemble(self, parts, options):
        return self


class Fine(Unbuilt):
    @classmethod
    def assemble(cls, parts, options):
        return cls()


class Abstract(Sampler):
    assemble = Fine.assemble


class Plain:
    assemble = Fine.assemble


class Classy(Fine):
    params = Temperature


class Curious(Fine):
    @classmethod
    def assemble(cls, parts, options):
        return cls(parts.tokenizer.vocab_size)


class Reader:
    pass


nothing = None


def one(parts):
    return None


def offer(name, target, **others):
    return Component(name=name, target=target if ":" in target else f"acme_parts:{{target}}", **others)


@hookimpl
def plugtron_samplers():
    return [
        offer("fine", "Fine"),
        offer("unbuilt", "Unbuilt"),
        offer("bound", "Bound"),
        offer("abstract", "Abstract"),
        offer("plain", "Plain"),
        offer("nothing", "nothing"),
        offer("one", "one"),
        offer("misspelt", "Fien"),
        offer("elsewhere", "nowhere:Fine"),
        offer("extra", "nowhere:Fine", install_hint="pip install nowhere"),
        offer("optioned", "Fine", options=Given),
        offer("unlike", "Fine", params=Wanted),
        offer("classy", "Classy"),
        offer("again", "Classy", params=Temperature),
        offer("curious", "Curious"),
        offer("checked", "Fine", precheck="acme_parts:one"),
    ]


@hookimpl
def plugtron_checkpoints():
    return [offer("reader", "Reader")]


class Reading(Parser):
    def __init__(self, tools):
        self.tools = tools

    @classmethod
    def recognizes(cls, template):
        return False

    def push(self, text):
        return []

    def finish(self):
        return []


@hookimpl
def plugtron_commands():
    return [offer("command", "one")]


@hookimpl
def plugtron_parsers():
    return [offer("reading", "Reading"), offer("made", "one")]


@hookimpl
def plugtron_executions():
    return [offer("execution", "Fine", params=Temperature)]
"""

#: Component, level, and what is said of it; none for what is fine.
FOUND = [
    ("sampler 'fine'", None, ""),
    ("sampler 'unbuilt'", "error", "target acme_parts:Unbuilt has no class method assemble(parts, options)"),
    (
        "sampler 'bound'",
        "error",
        "assemble must be a class method of (parts, options) (it takes (self, parts, options))",
    ),
    ("sampler 'abstract'", "error", "target acme_parts:Abstract is abstract: it does not define apply"),
    ("sampler 'plain'", "error", "target acme_parts:Plain is no subclass of plugtron.contracts.Sampler"),
    (
        "sampler 'nothing'",
        "error",
        "is a NoneType (accepted: a subclass of plugtron.contracts.Sampler, or a function of",
    ),
    ("sampler 'one'", "error", "target acme_parts:one: it must be a function of (parts, options) (it takes (parts))"),
    ("sampler 'misspelt'", "error", "module 'acme_parts' has no 'Fien'. Did you mean 'Fine'?"),
    ("sampler 'elsewhere'", "error", "target nowhere:Fine: ModuleNotFoundError: No module named 'nowhere'"),
    ("sampler 'extra'", "warning", "No module named 'nowhere'; pip install nowhere"),
    ("sampler 'optioned'", "error", "options: the default of number: must be a whole number (got 'three')"),
    (
        "sampler 'unlike'",
        "error",
        "params: the default of 'acme_wanted' must be None, which means that it is not asked",
    ),
    ("sampler 'classy'", "warning", "parameters are declared on the class alone"),
    (
        "sampler 'again'",
        "warning",
        "params: 'temperature' is a parameter of sampler 'temperature' (plugtron 0.1.0), too",
    ),
    ("sampler 'curious'", "warning", "looks at parts.tokenizer, and the component does not need it"),
    ("sampler 'checked'", "error", "precheck acme_parts:one must be a function of (model, options) (it takes (parts))"),
    ("checkpoint 'reader'", "error", "target acme_parts:Reader is no subclass of plugtron.contracts.CheckpointReader"),
    ("parser 'reading'", "error", "must take two arguments, tools and a prompt (it takes (tools))"),
    ("parser 'made'", "error", "is a function (accepted: a subclass of plugtron.contracts.Parser)"),
    ("command 'command'", "error", "target acme_parts:one is a function, and must be a click.Command"),
    ("execution 'execution'", "error", "params: executions take no parameters of requests"),
]


def command(*arguments, code):
    return plugtron(*arguments, check=code)


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_what_is_wrong_with_components_is_said_of_each(file):
    parts = file("acme_parts.py", PARTS)
    done = command("plugins", "check", "acme_parts", "--plugin", parts, "--json", code=3)
    (report,) = json.loads(done.stdout)
    assert report["components"] == len(FOUND)
    for part, level, text in FOUND:
        said = [found for found in report["findings"] if found["place"].endswith(f": {part}")]
        assert [found["level"] for found in said[:1]] == ([level] if level else []), (part, said)
        assert not level or any(text in found["message"] for found in said), (part, said)


def test_what_an_import_costs_is_a_warning(file):
    said = command("plugins", "check", "acme_costs", "--plugin", file("acme_costs.py", COSTS), code=0).stdout
    for text in (
        "its import imports torch, which takes seconds at every command",
        "its import writes to standard output: 'hello from C'",
        "its registration writes to standard error: 'offering'",
    ):
        assert f"warning: plugin 'acme_costs' (acme_costs.py {said.split('acme_costs.py ')[1][:8]}): {text}" in said


def test_a_plugin_that_ends_the_process_is_named(file):
    ending = file("acme_ending.py", "import os\nos._exit(9)\n")
    said = command("plugins", "check", "acme_ending", "--plugin", ending, code=3).stdout
    assert "failed at its import: it ended the process with code 9" in said


def test_check_finds_what_a_spec_names_and_imports_no_torch_for_it(file):
    parts = file("acme_parts.py", PARTS)
    spec = file(
        "run.yaml", "version: 1\nmodel: {checkpoint: smollm2-135m-instruct}\nsamplers: [misspelt]\nprompts: [x]\n"
    )
    said = command("check", spec, "--plugin", parts, code=3).stderr
    assert "run.yaml:3: samplers.0: sampler 'misspelt' (acme_parts.py" in said
    assert "Did you mean 'Fine'?" in said
    command("check", spec, "--plugin", parts, "--set", "samplers=[fine]", code=0)
    both = command("check", spec, "--plugin", parts, "--set", "samplers=[default, again]", code=2).stderr
    assert "samplers.1: sampler 'again' (acme_parts.py" in both
    assert "uses the parameter 'temperature', and so does sampler 'temperature' (plugtron 0.1.0): leave one" in both
    script = (
        "import sys; from plugtron.cli import cli; "
        f"cli.main(['check', {str(spec)!r}, '--plugin', {str(parts)!r}, '--set', 'samplers=[fine]'], "
        "standalone_mode=False); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.wide
def test_plugtrons_own_plugins_pass():
    said = command("plugins", "check", "plugtron", code=0).stdout
    assert [line.partition(":")[0] for line in said.splitlines()] == ["ok"] * 5
