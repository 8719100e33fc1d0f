"""Options of the server's own components, apart from what needs Starlette: specs are checked without it."""

from __future__ import annotations

from pydantic import ByteSize, Field

from plugtron.plugin.options import Options, PathText

__all__ = ["ApiKeyOptions", "BatchOptions", "CorsOptions", "RateLimitOptions", "RequestLogOptions", "ResponsesOptions"]


class ApiKeyOptions(Options):
    """Where the keys are; they never stand in a spec, which is printed and shown."""

    file: PathText | None = Field(default=None, description="a file with a key in each line")
    environment: str = Field(default="PLUGTRON_API_KEY", description="the variable that has a key, beside the file's")
    open_paths: list[str] = Field(
        default=["/health", "/ready", "/", "/plugtron", "/static/*"],
        description="paths that need no key; * at the end stands for anything",
    )


class RateLimitOptions(Options):
    """The rate, and how many may come at once."""

    requests_per_minute: float = Field(default=600, gt=0, description="of each key, or address where there are none")
    burst: int = Field(default=100, ge=1, description="requests that may come at once")


class CorsOptions(Options):
    """The origins."""

    origins: list[str] = Field(default=["*"], description="such as https://example.org; *: all")


class RequestLogOptions(Options):
    """Where the lines go."""

    file: PathText | None = Field(default=None, description="appended to; by default standard error")
    quiet_paths: list[str] = Field(
        default=["/health", "/ready", "/metrics", "/plugtron/state"],
        description="those that are asked again and again: a line only for what goes wrong there",
    )


class ResponsesOptions(Options):
    """How much is remembered."""

    stored: int = Field(default=1000, ge=0, description="responses that previous_response_id finds, the latest")
    stored_bytes: ByteSize = Field(
        default=ByteSize(256 * 2**20), ge=0, description="memory for them, with their conversations, such as 1GiB"
    )


class BatchOptions(Options):
    """Where files and batches are kept, and how much of the engine batches take."""

    folder: PathText = Field(description="is made where it is not there; one server uses it at a time")
    max_file_bytes: int = Field(
        default=200 * 2**20, ge=1024, description="of a file that is uploaded; more: status 413"
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, description="requests of batches at once; by default an eighth of the engine's batch"
    )
