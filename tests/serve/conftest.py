import pytest
from openai import OpenAI
from support.serving import served


@pytest.fixture(scope="session")
def server(default_model):
    """The default model, served as it is."""
    with served("smollm2-135m-instruct") as running:
        yield running


@pytest.fixture(scope="session")
def client(server):
    """OpenAI's own client, unmodified."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=600) as made:
        yield made
