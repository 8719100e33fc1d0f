"""What every engine has to keep to."""

from plugtron.testing import EngineChecks


class TestTransformers(EngineChecks):
    plugin = "plugtron_transformers"
    component = "transformers"
