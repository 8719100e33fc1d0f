"""Whether Triton's kernels can be launched."""

from __future__ import annotations

import torch

__all__ = ["why_no_triton"]


def why_no_triton(device: torch.device) -> str | None:
    """Launch something small on a GPU; return why that cannot be done, or None.

    Triton compiles with a C compiler, for devices and dtypes that it knows.
    """
    try:
        # Imported here: a run on a CPU goes without Triton.
        from plugtron.kernels.triton.norms import add_and_normalize

        with torch.cuda.device(device):
            ones = torch.ones(1, 16, device=device)
            add_and_normalize(ones, None, ones[0], None, 1e-5, center=False)
            torch.cuda.synchronize()
    # Whatever it raises, from a missing package or compiler to a driver that is too old, is why there can be none.
    except Exception as error:
        return f"Triton does not run here ({type(error).__name__}: {error})"
    return None
