"""A line of a batch's output."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from plugtron.serve.batches.in_process import Answered

__all__ = ["answer_record", "error_record"]


def answer_record(custom_id: str, answer: Answered) -> str:
    """The line of a request that an endpoint has answered."""
    # The body is JSON already: written into the line as it is, it is not read again.
    return (
        f'{{"id": "batch_req_{answer.number}", "custom_id": {json.dumps(custom_id)}, "response": {{"status_code": '
        f'{answer.status}, "request_id": {json.dumps(answer.request_id)}, "body": {answer.body}}}, "error": null}}'
    )


def error_record(custom_id: str | None, error: dict[str, Any]) -> str:
    """The line of a request that no endpoint was asked for."""
    return json.dumps({"id": f"batch_req_{uuid4().hex}", "custom_id": custom_id, "response": None, "error": error})
