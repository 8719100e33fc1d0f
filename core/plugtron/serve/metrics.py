"""What a server counts, as Prometheus reads it.

Names are those of OpenTelemetry's conventions for generative AI, version 1.36, where it has one
(gen_ai.server.time_to_first_token is written gen_ai_server_time_to_first_token_seconds); the same numbers under
vLLM's names are for dashboards that know those.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from plugtron.assembly.session import Session
from plugtron.contracts.stats import EngineStats
from plugtron.request.request import InferenceRequest

__all__ = ["ServerMetrics"]

#: Upper bounds in seconds, as the conventions have them.
_FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_LABELS = ("model_name",)
#: Of a request's end, as a counter's label: what was refused never ran.
_REFUSED = "refused"


class ServerMetrics:
    """Counters and histograms of one server, over the engine's own counts.

    Args:
        model: the name of the model in labels.
    """

    def __init__(self, session: Session, model: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._first_token = self._histograms("time_to_first_token", "until the first token", _FIRST_TOKEN_S)
        self._per_token = self._histograms(
            "time_per_output_token", "from one token to the next, mean of a request", _PER_TOKEN_S
        )
        self._duration = self._histograms("request_duration", "from arrival to the end", _DURATION_S)
        self._ended = Counter(
            "plugtron_requests", "requests that have ended, and how", ("model_name", "reason"), registry=self.registry
        )
        self._aliased_ended = Counter(
            "vllm:request_success", "the same", ("model_name", "finished_reason"), registry=self.registry
        )
        self._generated = Counter("vllm:generation_tokens", "tokens of answers", _LABELS, registry=self.registry)
        self.registry.register(_EngineCounts(session, model))

    def refused(self) -> None:
        """Count a request that could not run."""
        self._ended.labels(self._model, _REFUSED).inc()

    def finished(self, request: InferenceRequest) -> None:
        """Count a request that has run."""
        timings = request.timings
        for histograms, seconds in (
            (self._first_token, timings.time_to_first_token),
            (self._per_token, timings.inter_token),
            (self._duration, timings.total),
        ):
            if seconds is None:
                continue
            for histogram in histograms:
                histogram.labels(self._model).observe(seconds)
        reason = str(request.finish_reason or "abort")
        self._ended.labels(self._model, reason).inc()
        self._aliased_ended.labels(self._model, reason).inc()
        self._generated.labels(self._model).inc(sum(len(sequence.tokens) for sequence in request.sequences))

    def _histograms(self, name: str, text: str, bounds: tuple[float, ...]) -> tuple[Histogram, ...]:
        """A histogram under both its names."""
        alias = {"time_per_output_token": "inter_token_latency", "request_duration": "e2e_request_latency"}
        names = (f"gen_ai_server_{name}_seconds", f"vllm:{alias.get(name, name)}_seconds")
        return tuple(Histogram(each, text, _LABELS, buckets=bounds, registry=self.registry) for each in names)


class _EngineCounts(Collector):
    """The engine's counts, at the moment of being asked."""

    def __init__(self, session: Session, model: str) -> None:
        self._session = session
        self._model = model

    def collect(self) -> Iterator[Metric]:
        """All of them; nothing of an engine that keeps no account."""
        stats = self._session.engine.stats
        if stats is None:
            return
        for name, text, value in _gauges(stats):
            gauge = GaugeMetricFamily(name, text, labels=_LABELS)
            gauge.add_metric((self._model,), value)
            yield gauge
        for name, text, value in _counters(stats):
            counter = CounterMetricFamily(name, text, labels=_LABELS)
            counter.add_metric((self._model,), value)
            yield counter


def _gauges(stats: EngineStats) -> Iterator[tuple[str, str, float]]:
    used = stats.blocks_used / stats.blocks if stats.blocks else 0.0
    for running, waiting, usage in (
        ("plugtron_requests_running", "plugtron_requests_waiting", "plugtron_kv_cache_usage_ratio"),
        ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    ):
        yield running, "sequences that take part in steps", stats.running
        yield waiting, "sequences that wait for a place", stats.waiting
        yield usage, "the share of KV blocks that sequences hold, 0 to 1", used
    yield "plugtron_replicas", "engines whose sums these counts are", stats.replicas
    yield "plugtron_kv_blocks", "KV blocks in all", stats.blocks
    yield "plugtron_kv_blocks_used", "KV blocks that sequences hold", stats.blocks_used
    yield "plugtron_kv_blocks_cached", "free KV blocks that keep a prefix", stats.cached_blocks


def _counters(stats: EngineStats) -> Iterator[tuple[str, str, float]]:
    yield "plugtron_steps", "steps run", stats.steps
    yield "plugtron_step_seconds", "seconds in steps", stats.step_seconds
    yield "plugtron_step_start_seconds", "seconds of them to start steps: the model and the draw", stats.start_seconds
    yield "plugtron_step_finish_seconds", "seconds of them to finish steps: tokens to text", stats.finish_seconds
    yield "plugtron_computed_tokens", "tokens computed, of prompts and answers", stats.tokens
    for name in ("plugtron_prompt_tokens", "vllm:prompt_tokens", "vllm:prefix_cache_queries"):
        yield name, "tokens of prompts that were admitted", stats.prompt_tokens
    for name in ("plugtron_cached_tokens", "vllm:prefix_cache_hits"):
        yield name, "tokens of prompts that the prefix cache had", stats.cached_tokens
    yield "plugtron_disk_tokens", "tokens read from disk instead of computed", stats.disk_tokens
    for name in ("plugtron_preemptions", "vllm:num_preemptions"):
        yield name, "sequences that gave their blocks away, to be computed again", stats.preemptions
    for name in ("plugtron_drafted_tokens", "vllm:spec_decode_num_draft_tokens"):
        yield name, "draft tokens proposed", stats.drafted_tokens
    for name in ("plugtron_accepted_tokens", "vllm:spec_decode_num_accepted_tokens"):
        yield name, "draft tokens accepted", stats.accepted_tokens
