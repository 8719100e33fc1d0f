"""A run with metrics in a file and on a port, and one that asks for none."""

import socket
from urllib.request import urlopen

import pytest
from plugtron_prometheus import plugin
from plugtron_prometheus.options import PrometheusOptions
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from plugtron import LLM, SamplingParams

PROMPTS = ["The capital of France is", "Once upon a time"]


def figures(text):
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def run(**options):
    overrides = {"engine.options.max_sequence_length": 64, "plugins.options": {"prometheus": options}}
    with LLM("smollm2-135m-instruct", engine="dynamic", overrides=overrides) as llm:
        return llm.generate(PROMPTS, SamplingParams(temperature=0, max_tokens=4))


def test_a_run_in_a_file_and_on_a_port(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "plugtron.prom"
    requests = run(textfile=str(file), port=port)
    found = figures(file.read_text())
    assert found["plugtron_runs_total dynamic smollm2-135m-instruct"] == 1
    assert found["plugtron_requests_total length"] == 2
    assert found["plugtron_tokens_total"] == 8
    assert found["plugtron_prompt_tokens_total"] == sum(len(request.prompt_tokens) for request in requests)
    assert found["plugtron_time_to_first_token_seconds_count"] == found["plugtron_request_seconds_count"] == 2
    assert found["plugtron_engine_peak_running"] == 2
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        served = figures(page.read().decode())
    assert served == found


def test_installed_and_not_asked_it_counts_nothing():
    before = dict(plugin._exporters)
    assert [request.error for request in run()] == [None, None]
    assert plugin._exporters == before


def test_options_are_checked():
    with pytest.raises(ValidationError):
        PrometheusOptions(port=70000)
