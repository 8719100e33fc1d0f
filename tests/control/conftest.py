import pytest
from support import models

#: Their configurations are the same, their weights are not.
SEEDS = (14, 33)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Two checkpoints of one model."""
    root = tmp_path_factory.mktemp("checkpoints")
    folders = []
    for step, seed in enumerate(SEEDS):
        folders.append(root / f"step-{step}")
        models.make("llama_untied", seed=seed).save_pretrained(folders[-1])
    return folders
