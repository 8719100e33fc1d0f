"""What a spec says under plugins.options.prometheus."""

from __future__ import annotations

from pydantic import Field

from plugtron import Options, PathText

__all__ = ["PrometheusOptions"]


class PrometheusOptions(Options):
    """Where metrics go; without a place nothing is counted."""

    textfile: PathText | None = Field(
        default=None, description="a file *.prom in the folder of node_exporter's textfile collector"
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="of 127.0.0.1, where /metrics is served")
    interval: float = Field(default=10.0, ge=0.1, description="seconds from one writing of the file to the next")
