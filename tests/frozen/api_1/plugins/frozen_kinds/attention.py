import torch
import torch.nn.functional as F

from plugtron.contracts import AttentionBackend


class LoopAttention(AttentionBackend):
    """A row at a time, and a query at a time."""

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def write(self, key, value, state, memory):
        place = (memory.write_blocks, memory.write_offsets)
        state.keys.transpose(1, 2).index_put_(place, key)
        state.values.transpose(1, 2).index_put_(place, value)

    def attend(self, query, state, memory, scores):
        output = torch.empty_like(query)
        for span in memory.spans:
            blocks = memory.block_tables[span.row]
            keys, values = (
                cache[blocks].transpose(0, 1).flatten(1, 2) for cache in (state.keys, state.values)
            )  # [K, length, D]
            group = query.shape[1] // len(keys)
            for index in range(span.count):
                end = span.start + index + 1
                first = 0 if state.window is None else max(0, end - state.window)
                own = query[span.first + index].unflatten(0, (-1, group))  # [K, group, D]
                seen = keys[:, first:end], values[:, first:end]
                attended = F.scaled_dot_product_attention(own, *seen, scale=scores.scale)
                output[span.first + index] = attended.flatten(0, 1)
        return output
