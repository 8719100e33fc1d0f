"""Spans of requests, exported as OpenTelemetry does it."""

import json
from urllib.request import Request, urlopen

from support.chat_fixtures import ASKED, MODEL
from support.serving import served

#: A program that exports spans to standard error, and is the command line otherwise.
PROGRAM = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
exporter = ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + chr(10))
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
from plugtron.cli import main
main()
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_request_is_a_span_of_its_client_s_trace(default_model):
    routes = "serve.routes=[openai, traces]"
    with served(MODEL, "--set", routes, launcher=("-c", PROGRAM)) as server:
        body = json.dumps({"messages": ASKED, "max_tokens": 3, "temperature": 0}).encode()
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        urlopen(Request(f"{server.url}/v1/chat/completions", body, headers), timeout=600).read()
        server.stop()
    (span,) = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    assert span["context"]["trace_id"] == f"0x{TRACE}"
    assert span["name"] == "POST /v1/chat/completions"
    attributes = span["attributes"]
    assert attributes["http.response.status_code"] == 200
    assert (attributes["gen_ai.request.model"], attributes["gen_ai.usage.output_tokens"]) == (MODEL, 3)
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert attributes["gen_ai.server.time_to_first_token"] > 0
    assert attributes["gen_ai.response.finish_reasons"] == ["length"]
