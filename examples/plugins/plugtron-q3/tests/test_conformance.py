"""What every quantization method has to keep to."""

from plugtron.testing import QuantizationChecks


class TestQ3(QuantizationChecks):
    plugin = "plugtron_q3"
    component = "q3"
    error = 0.2
    other_options = ({"group": 16}, {"group": 64})
