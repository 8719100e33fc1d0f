"""The most likely candidates in an order that is the same everywhere: by logit, and among equals by lower id.

bfloat16 models give equal logits all the time. A plain top-k chooses among them as it likes, and then a row's outcome
would depend on the rows beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.contracts import Candidates

__all__ = ["keys", "token_ids"]

_LOW = 0xFFFFFFFF


def token_ids(candidates: Candidates) -> Tensor:
    """The ids of all candidates, [N, C] or [1, C]."""
    if candidates.ids is not None:
        return candidates.ids
    return torch.arange(candidates.logits.shape[1], device=candidates.logits.device).unsqueeze(0)


def keys(candidates: Candidates) -> Tensor:
    """One int64 per candidate [N, C] that orders them: the logit in the high half, the id, reversed, in the low."""
    bits = candidates.logits.contiguous().view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (ordered << 32) | (_LOW - token_ids(candidates))
