"""A small checkpoint."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoint():
    """Of 4 layers and 64 positions."""
    return Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
