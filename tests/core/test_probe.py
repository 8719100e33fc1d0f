"""Imports tried in a process of their own: whatever they do, it is reported, and those behind them are tried."""

import sys

import pytest

from plugtron.plugin.probe import Call, probe

MODULES = {
    "acme_quiet": "value = 3\ndef double(number): return {'twice': 2 * number}\n",
    "acme_torch": "import torch\n",
    "acme_loud": "import os, sys\nprint('printed')\nos.write(1, b'written\\n')\nos.system('echo from a shell >&2')\n",
    "acme_slow": "import time\ntime.sleep(0.5)\n",
    "acme_raising": "def license(): raise RuntimeError('no license')\nlicense()\n",
    "acme_leaving": "import sys\nsys.exit(4)\n",
    "acme_dying": "import os\nos._exit(7)\n",
    "acme_killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "acme_hanging": "import time\ntime.sleep(600)\n",
}


@pytest.fixture
def modules(tmp_path, monkeypatch):
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_each_import_is_reported_for_itself(modules):
    targets = ["acme_quiet", "acme_loud", "acme_quiet:value", "acme_quiet:valeu", "acme_slow", "acme_raising"]
    quiet, loud, value, misspelt, slow, raising, leaving, torch, again = probe(
        [*targets, "acme_leaving", "acme_torch", "acme_torch"]
    )
    assert (quiet.error, quiet.stdout, quiet.stderr) == (None, "", "")
    assert not quiet.imports_torch
    assert not quiet.starts_cuda
    assert (loud.stdout, loud.stderr, loud.error) == ("printed\nwritten\n", "from a shell\n", None)
    assert (value.stdout, value.error) == ("", None)
    assert misspelt.error == "AttributeError: module 'acme_quiet' has no 'valeu'. Did you mean 'value'?"
    assert slow.seconds >= 0.5 > quiet.seconds
    assert raising.error == "RuntimeError: no license"
    assert "acme_raising.py" in raising.traceback
    assert "plugtron" not in raising.traceback
    assert "importlib" not in raising.traceback
    assert leaving.error == "SystemExit: 4"
    assert (torch.imports_torch, again.imports_torch) == (True, False)
    assert not any(name in sys.modules for name in MODULES)


def test_what_takes_the_process_down_is_named_and_the_rest_goes_on(modules):
    dying, quiet, killed, hanging, last = probe(
        ["acme_dying", "acme_quiet", "acme_killed", "acme_hanging", "acme_quiet"], timeout=5
    )
    assert dying.error == "it ended the process with code 7"
    assert killed.error == "it ended the process with signal 9"
    assert hanging.error == "it was not done after 5 seconds"
    assert quiet.error is last.error is None


def test_a_call_gives_its_value(modules):
    (found,) = probe([Call(target="acme_quiet:double", arguments=(4,))])
    assert found.value == {"twice": 8}
    (wrong,) = probe([Call(target="acme_quiet:double")])
    assert wrong.error.startswith("TypeError: double() missing 1 required positional argument")
