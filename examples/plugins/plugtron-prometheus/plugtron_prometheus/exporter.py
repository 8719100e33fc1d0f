"""The metrics, the file that they are written to, and the port where they are served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server, write_to_textfile

from plugtron import InferenceRequest
from plugtron_prometheus.options import PrometheusOptions

if TYPE_CHECKING:
    from plugtron.plugin import RunInfo

__all__ = ["Exporter"]

#: Seconds: from a token of a small model to a long answer.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Exporter:
    """Counts in a registry of its own.

    Raises:
        OSError: the port cannot be had; plugtron says so, and the run goes on.
    """

    def __init__(self, options: PrometheusOptions) -> None:
        self._options = options
        self._registry = registry = CollectorRegistry()
        self._written = 0.0
        self._runs = Counter("plugtron_runs", "Runs that have begun", ["model", "engine"], registry=registry)
        self._requests = Counter("plugtron_requests", "Requests that have ended", ["finish_reason"], registry=registry)
        self._prompt_tokens = Counter("plugtron_prompt_tokens", "Tokens of prompts", registry=registry)
        self._tokens = Counter("plugtron_tokens", "Tokens generated", registry=registry)
        self._first_token = Histogram(
            "plugtron_time_to_first_token_seconds",
            "From the arrival of a request to its first token",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._total = Histogram(
            "plugtron_request_seconds",
            "From the arrival of a request to its end",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._stats: dict[str, Gauge] = {}
        if options.port is not None:
            start_http_server(options.port, addr="127.0.0.1", registry=registry)

    def run_started(self, run: RunInfo) -> None:
        """Count a run."""
        self._runs.labels(run.model, run.engine).inc()

    def request_finished(self, request: InferenceRequest) -> None:
        """Count a request."""
        times = request.timings
        self._requests.labels(str(request.finish_reason or "unknown")).inc()
        self._prompt_tokens.inc(len(request.prompt_tokens))
        self._tokens.inc(sum(len(sequence.tokens) for sequence in request.sequences))
        self._total.observe(times.total)
        if times.time_to_first_token is not None:
            self._first_token.observe(times.time_to_first_token)

    def step_finished(self, stats: Mapping[str, float]) -> None:
        """Note each figure of the engine's; which there are is the engine's to say."""
        for name, value in stats.items():
            if name not in self._stats:
                text = f"EngineStats.{name} of the engine"
                self._stats[name] = Gauge(f"plugtron_engine_{name}", text, registry=self._registry)
            self._stats[name].set(value)
        if time.monotonic() - self._written >= self._options.interval:
            self.write()

    def write(self) -> None:
        """Write the file, if there is to be one, in one piece: whoever reads it never sees half of it."""
        if self._options.textfile is not None:
            self._written = time.monotonic()
            write_to_textfile(self._options.textfile, self._registry)
