"""Schemathesis over the server's own /openapi.json: whatever it makes of the description, nothing is a defect."""

import subprocess

import pytest
from support import venv
from support.raw_http import await_idle
from support.serving import served

pytestmark = pytest.mark.clients

PACKAGE = "schemathesis==4.32.5"
SECONDS = 60
CHECKS = "not_a_server_error,content_type_conformance,status_code_conformance,unsupported_method"


@pytest.fixture(scope="module")
def schemathesis(tmp_path_factory):
    """Its command, in an environment of its own."""
    made = venv.bare(tmp_path_factory.mktemp("schemathesis"))
    if reason := venv.install(made, PACKAGE):
        pytest.skip(f"schemathesis cannot be had: {reason}")
    return made.python.parent / "schemathesis"


def test_no_request_is_a_defect(schemathesis, default_model, tmp_path):
    with served("smollm2-135m-instruct") as server:
        command = [schemathesis, "run", f"{server.url}/openapi.json", "--max-time", str(SECONDS), "--checks", CHECKS]
        command += ["--phases", "coverage,fuzzing", "--request-timeout", "60", "--warnings", "off", "--no-color"]
        done = subprocess.run([*command, "--continue-on-failure"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        assert "Traceback" not in server.log
        await_idle(server.url)
