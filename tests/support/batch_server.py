"""Servers that take batches, and OpenAI's client for them."""

import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from openai import OpenAI

from support.batch_lines import line, request
from support.serving import served

ENDED = ("completed", "failed", "cancelled", "expired")
COMPLETIONS = "/v1/completions"


@contextmanager
def serving(model, folder, *arguments, **options):
    """A server with batches, its client, and the process."""
    routes = ["default", {"name": "batches", "options": {"folder": str(folder), **options}}]
    given = ("--set", f"serve.routes={json.dumps(routes)}", "--set", "model.dtype=float32", *arguments)
    with served(model, *given) as server, client_of(server) as client:
        yield client, server


def client_of(server):
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=600)


def completions(numbers, **body):
    """Numbers of requests for completions, which are odd, as an input."""
    return "".join(line(number, **body) + "\n" for number in numbers).encode()


def begin(client, content, **fields):
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    given = {"endpoint": COMPLETIONS, "completion_window": "24h", **fields}
    return client.batches.create(input_file_id=file.id, **given)


def await_status(client, batch, statuses=ENDED, seconds=300):
    until = time.monotonic() + seconds
    while (found := client.batches.retrieve(batch.id)).status not in statuses:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def await_results(client, batch, count):
    while client.batches.retrieve(batch.id).request_counts.completed < count:
        time.sleep(0.02)


def records(client, file_id):
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()]


def direct(client, number, **body):
    """The token ids of the same request without a batch."""
    _, asked = request(number, **body)
    prompt = asked.pop("prompt")
    return client.completions.create(model="tiny", prompt=prompt, extra_body=asked).choices[0].token_ids


def post(url, headers, content):
    """Post bytes as they are; return the status and the answer."""
    request = urllib.request.Request(url, content, headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
