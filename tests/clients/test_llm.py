"""The command `llm`, with a served model in its extra-openai-models.yaml."""

import json
import re
from pathlib import Path

import pytest
import yaml
from support import venv
from support.serving import served

pytestmark = pytest.mark.clients

SERVING = Path(__file__).parents[2] / "docs" / "serving.md"
PACKAGES = ("llm==0.36",)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def llm(default_model, tmp_path_factory):
    """Runs `llm` against the default model; returns what it prints."""
    folder = tmp_path_factory.mktemp("llm")
    environment = venv.bare(folder)
    if reason := venv.install(environment, *PACKAGES):
        pytest.skip(f"llm cannot be had: {reason}")
    with served("smollm2-135m-instruct", variables={"PLUGTRON_API_KEY": "secret"}) as server:
        # The entry that the page on serving shows, with this server's address.
        (snippet,) = re.findall(r"```yaml\n(- \{model_id.*?)```", SERVING.read_text(), flags=re.DOTALL)
        (small,) = yaml.safe_load(snippet.replace("http://127.0.0.1:8000", server.url))
        small["api_key_name"] = "served"
        models = [small, {**small, "model_id": "text", "completion": True}]
        (folder / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))
        (folder / "keys.json").write_text(json.dumps({"served": "secret"}))

        def run(*arguments):
            return environment.run("-m", "llm", *arguments, check=0, LLM_USER_PATH=str(folder)).stdout

        yield run


GREEDY = ["-m", "small", "-o", "temperature", "0", "-o", "max_tokens", "12"]


def test_prompts(llm):
    streamed = llm(*GREEDY, "-s", "Be brief.", "What is the capital of France?")
    assert "Paris" in streamed
    assert llm(*GREEDY, "-s", "Be brief.", "--no-stream", "What is the capital of France?") == streamed


def test_a_conversation_goes_on(llm):
    llm(*GREEDY, "My name is Ada.")
    llm(*GREEDY, "-c", "Say my name.")
    responses = json.loads(llm("logs", "list", "-n", "2", "--json"))
    assert responses[0]["conversation_id"] == responses[1]["conversation_id"]
    assert all(response["response"].strip() and response["output_tokens"] == 12 for response in responses)
    prompts = {response["prompt"]: response["input_tokens"] for response in responses}
    assert prompts["Say my name."] > prompts["My name is Ada."] + 12


def test_schemas(llm):
    answer = llm("-m", "small", "-o", "seed", "1", "--schema", json.dumps(SCHEMA), "Invent a dog.")
    assert set(json.loads(answer)) == {"name", "age"}


def test_completions(llm):
    answer = llm("-m", "text", "-o", "temperature", "0", "-o", "max_tokens", "4", "The capital of France is")
    assert "Paris" in answer
