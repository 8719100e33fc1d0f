"""What the device would allow, from what it was measured to do in the same run, and how near to it a side comes.

A byte limit is the rate of copying, which counts what is read and what is written; a flop limit that of a product of
large bfloat16 matrices, for quantized weights as well. A weight takes two operations a token.

    decode, one row        tokens a second = copy rate / weight bytes
                           (a step reads every weight once; what it reads of the context, half a per cent, is left out)
    prefill                tokens a second = matrix rate / (2 × layer weights)
                           (attention and the head of the one last token are left out)
    R rows, P in, T out    seconds = R × P × 2 × layer weights / matrix rate                   the prompts
                                   + (T - 1) × the longer of                                   the steps
                                       (weight bytes + R × (P + T / 2) × KV bytes a token) / copy rate
                                       R × 2 × (layer weights + head weights) / matrix rate
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["batch_bound", "decode_bound", "prefill_bound", "shares"]


def decode_bound(record: Mapping[str, Any], limits: Mapping[str, Any]) -> float:
    """Tokens a second of one row."""
    return limits["copy_bytes_per_second"] / record["weight_bytes"]


def prefill_bound(record: Mapping[str, Any], limits: Mapping[str, Any]) -> float:
    """Tokens a second of a prompt."""
    return limits["matmul_flops_per_second"] / (2 * record["layer_weights"])


def batch_bound(record: Mapping[str, Any], limits: Mapping[str, Any], sizes: Mapping[str, Any], rows: int) -> float:
    """Tokens a second of as many answers, their prompts' time included."""
    prompt, tokens = sizes["prompt"], sizes["tokens"]
    copy, matmul = limits["copy_bytes_per_second"], limits["matmul_flops_per_second"]
    prompts = rows * prompt * 2 * record["layer_weights"] / matmul
    kept = rows * (prompt + tokens / 2) * record["kv_bytes_per_token"]
    step_bytes = (record["weight_bytes"] + kept) / copy
    step_flops = rows * 2 * (record["layer_weights"] + record["head_weights"]) / matmul
    return rows * tokens / (prompts + (tokens - 1) * max(step_bytes, step_flops))


def shares(record: Mapping[str, Any], limits: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """How much of each bound a side reaches, of what has been measured of it."""
    found: dict[str, Any] = {}
    if "decode" in record:
        found["decode"] = record["decode"] / decode_bound(record, limits)
    if "prefill" in record:
        found["prefill"] = record["prefill"] / prefill_bound(record, limits)
    rates = record.get("rows", {})
    found["rows"] = {rows: rate / batch_bound(record, limits, sizes, int(rows)) for rows, rate in rates.items()}
    return found
