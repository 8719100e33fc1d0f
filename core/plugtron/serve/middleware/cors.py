"""Which pages of other origins may ask from a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from plugtron.contracts.routes import Routes, Service
from plugtron.serve.options import CorsOptions

__all__ = ["Cors"]


class Cors(Routes):
    """Lets browsers ask for pages of other origins."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = origins

    @classmethod
    def assemble(cls, service: Service, options: CorsOptions) -> Self:
        """Make it."""
        del service
        return cls(options.origins)

    def middleware(self) -> Sequence[Middleware]:
        """Starlette's."""
        return (
            Middleware(
                CORSMiddleware,
                allow_origins=list(self._origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
            ),
        )
