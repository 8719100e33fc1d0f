"""The command on a file of results written by hand, and on what a run writes."""

import json
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from plugtron_report.command import report
from plugtron_report.summary import quantile


def line(index, **changes):
    times = {"queue": 0.1, "time_to_first_token": 0.2, "inter_token": 0.01, "total": 1.0, "tokens_per_second": 90.0}
    record = {
        "index": index,
        "prompt": "x",
        "prompt_tokens": [1, 2, 3],
        "text": f"answer {index}",
        "tokens": [5] * index,
    }
    return json.dumps({**record, "finish_reason": "length", "error": None, "timings": times, **changes})


@pytest.fixture
def results(tmp_path):
    file = tmp_path / "results.jsonl"
    good = [line(number) for number in range(1, 5)]
    stopped = line(5, text="<b>a|b</b> & *c*", finish_reason="stop", stop_reason=2, logprobs=[])
    refused = line(6, tokens=[], text="", finish_reason="error", error="the prompt is empty")
    file.write_text("\n".join([*good, stopped, refused]) + "\n")
    return file


def invoke(*arguments):
    return CliRunner().invoke(report, list(map(str, arguments)))


def test_markdown(results):
    page = invoke(results).stdout
    assert "6 requests, 1 of them failed; 6 answers with 15 tokens" in page
    assert "| length | 4 | 67% |" in page
    assert "| answer | 6 | 2.5 | 0 | 2.5 | 4.75 | 5 |" in page
    assert "| 5 | 0 | 5 | stop | \\<b\\>a\\|b\\</b\\> & \\*c\\* |" in page
    assert "| 6 | 0 | 0 | error | the prompt is empty |" in page


def test_html_is_one_well_formed_page(results, tmp_path):
    done = invoke(results, "--output", tmp_path / "page.html", "--title", "A & B")
    assert done.exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "<h1>A &amp; B</h1>" in page
    assert "<td>&lt;b&gt;a|b&lt;/b&gt; &amp; *c*</td>" in page
    assert "http" not in page
    opened = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Tags().feed(page)
    assert not opened


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "results.jsonl:1: is no JSON"),
        ("[]", "results.jsonl:1: must be a mapping"),
        ('{"index": 1}', "results.jsonl:1: prompt_tokens is required"),
        ("", "results.jsonl: there are no results in it"),
    ],
)
def test_a_file_of_something_else_is_refused(text, message, tmp_path):
    (tmp_path / "results.jsonl").write_text(text)
    done = invoke(tmp_path / "results.jsonl")
    assert done.exit_code != 0
    assert message in str(done.exception)


def test_an_output_of_another_format_is_refused(results):
    done = invoke(results, "--output", "page.pdf")
    assert "a report ends in .html or .md" in done.output


def test_quantiles():
    assert [quantile([4.0, 1.0, 3.0, 2.0], share) for share in (0, 0.5, 1)] == [1.0, 2.5, 4.0]


def test_what_a_run_writes_can_be_read(tmp_path):
    """By the command line that users have."""
    spec = "{version: 1, model: {checkpoint: smollm2-135m-instruct}, sampling: {max_tokens: 2}, prompts: [a, b]}"
    (tmp_path / "spec.yaml").write_text(spec)
    plugtron = [sys.executable, "-m", "plugtron"]
    command = [*plugtron, "run", tmp_path / "spec.yaml", "--output", tmp_path / "results.jsonl"]
    subprocess.run(command, check=True, timeout=600)
    done = subprocess.run(
        [*plugtron, "report", tmp_path / "results.jsonl"], check=True, capture_output=True, text=True, timeout=60
    )
    assert "2 requests, 0 of them failed; 2 answers with 4 tokens" in done.stdout
