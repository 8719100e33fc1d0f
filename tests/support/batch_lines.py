"""Lines of batches, the answers that they must get, and running `plugtron batch` on them."""

import json
import os
import subprocess
import sys
import time

from support.commands import plugtron

TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"


def request(number, **body):
    """A request that is greedy, or drawn with a seed; for either endpoint."""
    drawn = {"temperature": 1, "seed": number} if number % 3 else {"temperature": 0}
    asked = {"max_tokens": 12, "ignore_eos": True, "return_token_ids": True, **drawn, **body}
    if number % 2:
        return "/v1/completions", {"prompt": f"Number {number}", **asked}
    messages = [{"role": "user", "content": f"Say {number}"}]
    return "/v1/chat/completions", {"messages": messages, "chat_template": TEMPLATE, **asked}


def line(number, **body):
    """A request as a line."""
    url, asked = request(number, **body)
    return json.dumps({"custom_id": f"r{number}", "method": "POST", "url": url, "body": asked})


def tokens(record):
    """The token ids of a record's answer."""
    return record["response"]["body"]["choices"][0]["token_ids"]


def read(file):
    """The records of an output, which has whole lines only."""
    text = file.read_text()
    assert text.endswith("\n") or not text
    return [json.loads(each) for each in text.splitlines()]


def expected(llm, numbers, **body):
    """The token ids of requests that are sent without a batch, by custom_id."""
    from plugtron.request.chat_options import ChatOptions
    from plugtron.request.request import InferenceRequest
    from plugtron.request.sampling_params import SamplingParams

    def made(number):
        _, asked = request(number, **body)
        prompt = asked.get("prompt") or asked["messages"]
        chat = None if "prompt" in asked else ChatOptions(chat_template=TEMPLATE)
        names = ("temperature", "seed", "max_tokens", "ignore_eos")
        params = SamplingParams(**{name: asked[name] for name in names if name in asked})
        return InferenceRequest(prompt=prompt, params=params, chat=chat)

    asked = {f"r{number}": made(number) for number in numbers}
    for _ in llm.session.run(list(asked.values())):
        pass
    return {custom_id: each.tokens for custom_id, each in asked.items()}


def _arguments(model, requests, results, more):
    return ["batch", requests, results, "--model", model, "--set", "model.dtype=float32", *more]


def start(model, requests, results, *arguments):
    """Begin a run."""
    command = [sys.executable, "-m", "plugtron", *map(str, _arguments(model, requests, results, arguments))]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def run(model, requests, results, *arguments):
    """Do a run; return its exit code and what it said on standard error."""
    done = plugtron(*_arguments(model, requests, results, arguments), timeout=300, OMP_NUM_THREADS="1")
    assert not done.stdout
    return done.returncode, done.stderr


def await_lines(process, file, count, seconds=200):
    """Wait until an output has some lines while its run goes on."""
    until = time.monotonic() + seconds
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
