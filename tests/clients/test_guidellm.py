"""guidellm's benchmark of a served model."""

import json

import pytest
from support import venv
from support.serving import served

pytestmark = pytest.mark.clients

PACKAGES = ("guidellm==0.8.1",)
PROMPT, ANSWER, REQUESTS = 32, 16, 12


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    made = venv.bare(tmp_path_factory.mktemp("guidellm"))
    if reason := venv.install(made, *PACKAGES):
        pytest.skip(f"guidellm cannot be had: {reason}")
    return made


@pytest.fixture(scope="module")
def server(default_model):
    with served("smollm2-135m-instruct") as running:
        yield running


@pytest.fixture(scope="module")
def tokenizer(environment, default_model, tmp_path_factory):
    """The model in a form that transformers takes a tokenizer from."""
    folder = tmp_path_factory.mktemp("tokenizer") / "model"
    environment.run("-m", "plugtron", "convert", default_model, folder, check=0)
    return folder


@pytest.mark.parametrize(
    ("form", "profile"),
    [
        ("/v1/completions", "kind=concurrent,streams=3"),
        ("/v1/chat/completions", "kind=poisson,rate=8"),
        ("/v1/responses", "kind=synchronous"),
    ],
)
def test_a_benchmark(environment, server, tokenizer, tmp_path, form, profile):
    report = tmp_path / "report.json"
    arguments = {
        "--backend": f"kind=openai_http,target={server.url},request_format={form}",
        "--profile": profile,
        "--constraint": f"kind=max_requests,count={REQUESTS}",
        "--tokenizer": f"kind=hf_auto,model={tokenizer}",
        "--data": f"kind=synthetic_text,prompt_tokens={PROMPT},output_tokens={ANSWER}",
        "--output": f"kind=json,path={report}",
    }
    flat = [word for pair in arguments.items() for word in pair]
    environment.run("-m", "guidellm", "run", *flat, "--disable-console", check=0, HF_HUB_OFFLINE="1")
    (found,) = json.loads(report.read_text())["benchmarks"]
    totals = found["metrics"]["request_totals"]
    assert (totals["successful"], totals["errored"], totals["incomplete"]) == (REQUESTS, 0, 0)
    for request in found["requests"]["successful"]:
        assert request["output_tokens"] == ANSWER
        assert request["prompt_tokens"] >= PROMPT
        assert request["time_to_first_token_ms"] > 0
