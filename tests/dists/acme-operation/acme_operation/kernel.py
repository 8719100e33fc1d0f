"""The same by Triton. Imported where there is a GPU, or Triton's interpreter."""

import torch
import triton
import triton.language as tl


def sine(x, y):
    result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _sine[(len(x),)](x, y, result, x.shape[1], x.stride(0), y.stride(0), BLOCK=triton.next_power_of_2(x.shape[1]))
    return result


@triton.jit
def _sine(x, y, result, width, x_stride, y_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    own = tl.load(x + row * x_stride + at, mask=at < width, other=0.0).to(tl.float32)
    other = tl.load(y + row * y_stride + at, mask=at < width, other=0.0).to(tl.float32)
    tl.store(result + row * width + at, (tl.sin(own) * other).to(result.dtype.element_ty), mask=at < width)
