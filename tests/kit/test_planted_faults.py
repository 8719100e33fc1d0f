"""Each fault that is planted is caught by the check that is for it, in one line that says what is wrong."""

import gc
import importlib

import pytest
import torch
from faults import assert_caught, checks_of, found_in
from planted import ALL

from plugtron.testing import Host, write_model


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory):
    """pytester forgets the modules that a run has imported, and not all of torch can be imported twice."""
    model = {"checkpoint": str(write_model(tmp_path_factory.mktemp("warm"))), "dtype": "float32"}
    for engine in ("static", "dynamic"):
        with Host().session({"model": model, "engine": engine}) as session:
            session.engine.generate([[1, 2, 3]])
    torch.set_num_threads(1)  # small models gain nothing from more
    gc.freeze()  # each session that is closed looks through what is collected


def _by_base(planted):
    return planted.base.removesuffix("Checks")


@pytest.mark.parametrize("planted", ALL, ids=_by_base)
def test_every_check_catches_something(planted):
    caught = {fault[0] for fault in planted.faults.values() if fault}
    assert checks_of(planted.base, planted.beyond) <= caught


@pytest.mark.parametrize("plugin", sorted({planted.plugin for planted in ALL}))
def test_everything_that_is_offered_is_here(plugin):
    names = set(importlib.import_module(plugin).NAMES)
    tried = {name for planted in ALL if planted.plugin == plugin for name in planted.faults}
    assert names <= tried
    assert len(names) > 5


@pytest.mark.parametrize("planted", ALL, ids=_by_base)
def test_faults(pytester, planted):
    assert_caught(found_in(pytester, planted), planted.faults)


@pytest.mark.wide
@pytest.mark.parametrize("planted", ALL, ids=_by_base)
def test_faults_with_everything(pytester, planted):
    assert_caught(found_in(pytester, planted, everything=True), planted.faults)
