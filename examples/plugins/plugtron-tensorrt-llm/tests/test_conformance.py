"""What every component has to keep to; what every engine has to, runs where TensorRT-LLM does."""

from plugtron import Kind
from plugtron.testing import ComponentChecks


class TestTensorRT(ComponentChecks):
    plugin = "plugtron_tensorrt_llm"
    component = "tensorrt_llm"
    kind = Kind.ENGINE
