"""What the device can do, measured: python gpu_limits.py DEVICE. Writes one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch
from gpu_measures import synchronize


def best_seconds(work: Callable[[], object]) -> float:
    """The shortest of a few times."""
    best = float("inf")
    for _ in range(10):
        synchronize()
        begin = time.perf_counter()
        work()
        synchronize()
        best = min(best, time.perf_counter() - begin)
    return best


def copy_rate(device: str) -> float:
    """Bytes a second that are read and written when memory of the device is copied."""
    size = 4 << 30 if device == "cuda" else 64 << 20
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / best_seconds(lambda: target.copy_(source))


def matmul_rate(device: str) -> float:
    """Floating point operations a second of a product of large bfloat16 matrices, of random numbers as weights are."""
    size = 8192 if device == "cuda" else 512
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    result = torch.empty_like(left)
    return 2 * size**3 / best_seconds(lambda: torch.mm(left, right, out=result))


def main() -> None:
    """Measure, and say so."""
    device = sys.argv[1]
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device")
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "copy_bytes_per_second": copy_rate(device),
        "matmul_flops_per_second": matmul_rate(device),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
