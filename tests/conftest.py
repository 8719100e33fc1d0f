"""Fixtures that are dear to make and shared by the whole suite: the default model, and small random ones."""

import gc
import os
import shutil
from pathlib import Path

# Read when torch is loaded. Two threads of a model that share a worker's core would wait for each other by spinning,
# which made some tests fifty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which transformers does

from hypothesis import settings
from support import fuzzing, models, venv
from support.strict_ranks import StrictRanks

from plugtron import LLM
from plugtron.hub.location import fetch
from plugtron.kernels.native.build import library

# The same examples each time, so that the suite passes every time or never; `make fuzz` looks for new ones.
settings.register_profile("plugtron", derandomize=not fuzzing.AT_RANDOM, deadline=None)
settings.load_profile("plugtron")

DEFAULT_MODEL = "smollm2-135m-instruct"
#: Packed weights and kernels of the tests, not the user's; kept from run to run.
OWN_CACHE = Path(__file__).parents[1] / ".pytest_cache" / "plugtron"
os.environ["PLUGTRON_CACHE_DIR"] = str(OWN_CACHE)
os.environ["PLUGTRON_CACHE_GIB"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _few_threads(worker_id):
    """Two threads alone; a core of its own for each of several workers, and for the processes that its tests start."""
    if worker_id == "master":
        torch.set_num_threads(2)
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker_id.removeprefix("gw")) % len(cores)]})
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _imported_for_good():
    """Each model that is closed looks through what is collected: not through all that the suite has imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A cache of the test's own, with the kernels that other tests have compiled."""
    kernels = library().parent
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    shutil.copytree(kernels, folder / "native")
    (folder / "native").chmod(0o700)
    monkeypatch.setenv("PLUGTRON_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def default_model():
    """The path of the default model, fetched once."""
    return fetch(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    """A function from a name in support.models to (transformers model, folder it is saved in)."""
    made = {}

    def make(name):
        if name not in made:
            model = models.make(name)
            folder = tmp_path_factory.mktemp("models") / name
            model.save_pretrained(folder)
            made[name] = (model, folder)
        return made[name]

    return make


def pytest_collection_modifyitems(items):
    """Mark what tries random inputs; skip what needs a CUDA device where there is none."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.fuzz)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


@pytest.fixture(scope="session")
def two_ranks(pytestconfig):
    """Two ranks under torchrun, shared by tests that are not about how ranks start."""
    with StrictRanks(2, pytestconfig.getini("filterwarnings")) as job:
        yield job


@pytest.fixture(scope="session")
def acme(tmp_path_factory):
    """An environment with every distribution of tests/dists installed: one good, the others broken or clashing."""
    return venv.make(tmp_path_factory.mktemp("acme"), sorted(path.name for path in venv.DISTS.iterdir()))


@pytest.fixture(scope="session")
def llm(default_model):
    """The default model in float32, shared."""
    with LLM(default_model, dtype="float32", overrides={"engine.options.max_sequence_length": 256}) as shared:
        yield shared


@pytest.fixture(scope="session")
def small(random_model):
    """A small random model without a tokenizer, shared; batches of 4, sequences of 64."""
    overrides = {"engine.options.max_batch_size": 4, "engine.options.max_sequence_length": 64}
    with LLM(random_model("llama_untied")[1], dtype="float32", overrides=overrides) as shared:
        yield shared
