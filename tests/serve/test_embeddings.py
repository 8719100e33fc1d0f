"""/v1/embeddings through OpenAI's client, and what is compared by embeddings."""

import json
from urllib.request import Request, urlopen

import openai
import pytest
from support.chat_fixtures import MODEL

from plugtron import LLM

TEXTS = ["Rain falls on the sea.", "It rains.", "The stock market closed higher."]


@pytest.fixture(scope="module")
def offline(default_model):
    with LLM(MODEL, engine="dynamic") as llm:
        yield [request.embedding for request in llm.embed(TEXTS, pooling="mean")]


def posted(server, path, body):
    request = Request(f"{server.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=600) as answer:
        return json.load(answer)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_are_what_they_are_offline(client, offline, encoding):
    asked = {"model": MODEL, "input": TEXTS, "extra_body": {"pooling": "mean"}}
    if encoding == "float":
        asked["encoding_format"] = "float"
    answer = client.embeddings.create(**asked)  # the client asks for base64 by itself
    for found, expected in zip(answer.data, offline, strict=True):
        assert found.embedding == pytest.approx(expected, abs=1e-5)
    assert answer.usage.prompt_tokens > len(TEXTS)


def test_scores_and_ranks(server, offline):
    scores = [sum(a * b for a, b in zip(offline[0], other, strict=True)) for other in offline[1:]]
    found = posted(server, "/v1/score", {"text_1": TEXTS[0], "text_2": TEXTS[1:], "pooling": "mean"})
    assert [entry["score"] for entry in found["data"]] == pytest.approx(scores, abs=1e-5)
    asked = {"query": TEXTS[0], "documents": TEXTS[1:], "pooling": "mean", "top_n": 1, "return_documents": True}
    (best,) = posted(server, "/v1/rerank", asked)["results"]
    assert best["relevance_score"] == pytest.approx(max(scores), abs=1e-5)
    assert best["document"]["text"] == TEXTS[1 + scores.index(max(scores))]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"input": ""}, "input"),
        ({"input": ["x", ""]}, "empty"),
        ({"input": "x", "dimensions": 64}, "dimensions"),
        ({"input": "x", "extra_body": {"pooling": "max"}}, "pooling"),
        ({"input": [1] * 5000}, "max_sequence_length"),
    ],
    ids=str,
)
def test_what_is_wrong(client, asked, said):
    with pytest.raises(openai.BadRequestError, match=said):
        client.embeddings.create(model=MODEL, **asked)
