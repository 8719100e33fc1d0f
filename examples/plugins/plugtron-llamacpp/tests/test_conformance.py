"""What every engine has to keep to; over llama.cpp itself."""

from plugtron.testing import EngineChecks


class TestLlamaCpp(EngineChecks):
    plugin = "plugtron_llamacpp"
    component = "llamacpp"
    options = {"max_sequence_length": 128}  # noqa: RUF012 - of the class, as the kit has it
    values = {"model": {"checkpoint": "smollm2-135m-instruct"}}  # noqa: RUF012
