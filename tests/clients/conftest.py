"""A real browser: Debian's chromium or chromium-headless-shell, driven by playwright, which is fetched from PyPI."""

import shutil
import subprocess
import sys

import pytest
import yaml
from support import ray_cluster, venv
from support.serving import served

PLAYWRIGHT = "playwright==1.65.2"
TEMPLATE = (
    "{% if tools %}<|im_start|>system\nCall functions in <tool_call>: {{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """The browser, without a window."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("there is no browser: apt install chromium-headless-shell")
    folder = tmp_path_factory.mktemp("playwright")
    done = subprocess.run([*venv.PIP, "install", "--target", str(folder), PLAYWRIGHT], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"playwright cannot be had: {done.stderr.strip().splitlines()[-1]}")
    sys.path.append(str(folder))
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            # Its own sandbox needs rights that containers do not have.
            running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            yield running
            running.close()
    finally:
        sys.path.remove(str(folder))
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def ray_environment(tmp_path_factory):
    """An environment that has ray."""
    made = venv.bare(tmp_path_factory.mktemp("ray"))
    reason = venv.install(made, ray_cluster.PACKAGE)
    if reason is not None:
        pytest.skip(f"ray cannot be had: {reason}")
    return made


@pytest.fixture(scope="session")
def server(default_model, tmp_path_factory):
    """The default model, with a template that has a place for tools."""
    spec = tmp_path_factory.mktemp("spec") / "spec.yaml"
    values = {"version": 1, "model": {"checkpoint": "smollm2-135m-instruct"}, "chat_template": TEMPLATE}
    spec.write_text(yaml.safe_dump(values))
    with served(spec) as running:
        yield running


@pytest.fixture
def new_page(browser, server):
    """Opens pages; whatever they complain of is a failure, but for what a test expects."""
    contexts, complaints, expected = [], [], []

    def make(path="", *, base=server.url, expects=(), **options):
        context = browser.new_context(viewport={"width": 1200, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60000)
        expected.extend(expects)
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{base}/{path}")
        return page

    yield make
    for context in contexts:
        context.close()
    assert not [each for each in complaints if not any(word in each for word in expected)]
