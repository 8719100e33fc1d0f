"""/metrics"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from plugtron.contracts.routes import Routes
from plugtron.serve.endpoint import Endpoint

__all__ = ["MetricsRoutes"]


class MetricsRoutes(Routes):
    """The server's counts, as Prometheus reads them."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoint."""
        return (Endpoint("/metrics", self._metrics, "counts, for Prometheus", answers="text/plain"),)

    async def _metrics(self, http: Request) -> Response:
        encode, content_type = choose_encoder(http.headers.get("accept", ""))
        return Response(encode(self.service.metrics), media_type=content_type)
