"""The examples for containers and Kubernetes: valid, and of what there is here."""

import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from plugtron.plugin.manager import PluginManager
from plugtron.spec import Source, resolve

ROOT = Path(__file__).parents[2]
OBJECTS = list(yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "plugtron.yaml").read_text()))


@pytest.mark.parametrize("described", OBJECTS, ids=lambda each: each["kind"])
def test_objects_are_what_kubernetes_takes(described):
    kubernetes_validate.validate(described, "1.30", strict=True)


def test_the_spec_is_one_and_its_server_outlives_its_requests():
    (written,) = (each["data"]["run.yaml"] for each in OBJECTS if each["kind"] == "ConfigMap")
    resolved = resolve(Source(values=yaml.safe_load(written)), PluginManager(builtins_only=True))
    (deployment,) = (each["spec"]["template"]["spec"] for each in OBJECTS if each["kind"] == "Deployment")
    assert resolved.spec.serve.drain_seconds < deployment["terminationGracePeriodSeconds"]
    assert resolved.spec.serve.host == "0.0.0.0"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_images_install_extras_that_there_are(name):
    text = (ROOT / "examples" / "docker" / name).read_text()
    extras = re.search(r"\[([a-z,]+)\]", text)[1].split(",")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(declared)
    assert re.search(r'ENTRYPOINT \["plugtron", "serve"', text)
