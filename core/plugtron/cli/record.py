"""What a run can be done again from: its spec, the versions of what ran it, and each request with what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plugtron.errors import Problem, SpecError
from plugtron.request.request import FinishReason, InferenceRequest
from plugtron.spec.dump import plain_data
from plugtron.spec.resolved import ResolvedSpec
from plugtron.utils.validation import describe

__all__ = ["RecordedRequest", "RunRecord", "changed_versions", "check_writable", "read_record", "record_run"]

#: What a spec says of a run besides what is computed.
_NOT_COMPUTED = ("prompts", "output")
_CUT_SHORT = {FinishReason.ABORT, FinishReason.DEADLINE}


class RecordedRequest(BaseModel):
    """A prompt as ids, what was asked of it with the seed that was used, and the tokens of each answer."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[int]
    sampling: dict[str, Any]
    answers: list[list[int]]
    cut_short: bool = False
    error: str | None = None


class RunRecord(BaseModel):
    """A whole run. `digest` is of the spec; `versions` are those of the distributions that its parts come from."""

    model_config = ConfigDict(extra="forbid")

    record: int = Field(default=1, ge=1, le=1)
    digest: str
    versions: dict[str, str]
    spec: dict[str, Any]
    requests: list[RecordedRequest]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.digest != _digest(self.spec):
            raise ValueError(f"digest: the spec is another than the one that was recorded ({self.digest})")
        return self


def record_run(resolved: ResolvedSpec, requests: Sequence[InferenceRequest]) -> RunRecord:
    """Put together what is needed to do a run again."""
    spec = json.loads(
        json.dumps({name: value for name, value in plain_data(resolved).items() if name not in _NOT_COMPUTED})
    )
    names = {"plugtron", "torch", "numpy", *(chosen.offer.distribution for chosen in resolved.components)}
    return RunRecord(
        digest=_digest(spec),
        versions={name: found for name in sorted(names) if (found := _version(name)) is not None},
        spec=spec,
        requests=[_recorded(request) for request in requests],
    )


def read_record(path: Path) -> RunRecord:
    """Read a record.

    Raises:
        SpecError: it cannot be read, or is none.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise SpecError([Problem("", f"cannot read the record {path}: {reason}")]) from None
    try:
        return RunRecord.model_validate(values)
    except ValidationError as error:
        found = describe(error, RunRecord, values)
        raise SpecError([Problem(".".join(map(str, place)), text, str(path)) for place, text in found]) from None


def check_writable(path: Path) -> None:
    """See, before a run, whether its record can be written.

    Raises:
        SpecError: it cannot.
    """
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise SpecError([Problem("--record", f"cannot write {path}: {error.strerror}")]) from None


def changed_versions(recorded: Mapping[str, str]) -> list[str]:
    """Which of the distributions have another version here, or are not there."""
    found = {name: _version(name) for name in recorded}
    return [
        f"{name} was {before} and is {found[name] or 'not installed'}"
        for name, before in recorded.items()
        if found[name] != before
    ]


def _recorded(request: InferenceRequest) -> RecordedRequest:
    sampling = request.params.to_flat()
    if request.sequences:
        sampling["seed"] = request.sequences[0].seed
    return RecordedRequest(
        tokens=request.prompt_tokens,
        sampling=sampling,
        answers=[sequence.tokens for sequence in request.sequences],
        cut_short=any(sequence.finish_reason in _CUT_SHORT for sequence in request.sequences),
        error=request.error,
    )


def _digest(spec: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
