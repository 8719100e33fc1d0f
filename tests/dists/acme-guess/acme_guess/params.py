"""What a request asks of the steered controller."""

from pydantic import Field

from plugtron_controllers import GenerationParams


class SteeredParams(GenerationParams):
    """How far."""

    acme_away: float | None = Field(default=None, ge=0, le=10, description="how far away; 0 changes nothing")
