"""What every observer has to keep to."""

from plugtron_prometheus import plugin

from plugtron.testing import ObserverChecks


class TestObserver(ObserverChecks):
    plugin = plugin

    @classmethod
    def module_name(cls):
        return "plugtron_prometheus"
