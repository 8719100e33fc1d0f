"""The hooks: what a run tells its observers becomes counters and gauges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from plugtron import InferenceRequest, Options, hookimpl

if TYPE_CHECKING:
    from plugtron.plugin import Outcome, RunInfo
    from plugtron_prometheus.exporter import Exporter

__all__ = ["PrometheusObserver"]


class PrometheusObserver:
    """Counts for as long as the process lives. Runs with the same options share their metrics."""

    #: The plugin API that this package was written for.
    PLUGTRON_API = 1
    PLUGTRON_OPTIONS = "plugtron_prometheus.options:PrometheusOptions"

    def __init__(self) -> None:
        self._exporters: dict[Options, Exporter] = {}

    @hookimpl
    def plugtron_run_started(self, run: RunInfo, options: Options | None) -> None:
        """Count a run, and be there for whoever asks from now on."""
        if (exporter := self._exporter(options)) is not None:
            exporter.run_started(run)

    @hookimpl
    def plugtron_request_finished(self, request: InferenceRequest, options: Options | None) -> None:
        """Count a request, its tokens and its times."""
        if (exporter := self._exporter(options)) is not None:
            exporter.request_finished(request)

    @hookimpl
    def plugtron_step_finished(self, stats: Mapping[str, float], options: Options | None) -> None:
        """Note how the engine stands."""
        if (exporter := self._exporter(options)) is not None:
            exporter.step_finished(stats)

    @hookimpl
    def plugtron_run_finished(self, run: RunInfo, outcome: Outcome, options: Options | None) -> None:
        """Write what has been counted."""
        del run, outcome
        if (exporter := self._exporter(options)) is not None:
            exporter.write()

    def _exporter(self, options: Options | None) -> Exporter | None:
        """Where metrics go, made when first needed; None: nowhere."""
        # Imported here: a plugin that is merely installed costs neither pydantic nor prometheus-client.
        from plugtron_prometheus.options import PrometheusOptions

        assert isinstance(options, PrometheusOptions), "plugtron has validated them"
        if options.textfile is None and options.port is None:
            return None
        if options not in self._exporters:
            from plugtron_prometheus.exporter import Exporter

            self._exporters[options] = Exporter(options)
        return self._exporters[options]
