"""An observer. What plugtron imports to list it: prometheus-client is imported when a spec asks for metrics."""

from __future__ import annotations

from plugtron_prometheus.observer import PrometheusObserver

__all__ = ["plugin"]

#: A plugin may be an object: this one keeps what it has counted, which a module's functions could not without a global.
plugin = PrometheusObserver()
