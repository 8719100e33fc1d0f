// KV memory as Python lays it out: [blocks, kv_heads, block, head_dim] for keys and for values, and a table of block
// numbers per row; and what a step has to know of its tokens.
#pragma once

#include <algorithm>
#include <cstdint>

namespace plugtron {

// What keys and values are held in: KV_DTYPES of plugtron.execution.native. Those of int8 have a scale for each position
// and head, [blocks, kv_heads, block] for keys and for values.
enum Stored : int32_t { kStoredF32, kStoredBf16, kStoredInt8 };

struct Layer {
    void* keys;
    void* values;
    float* key_scales;
    float* value_scales;
    int window;  // how far back queries look; 0: all the way
    int chunk;   // queries look at those positions alone that divide by this to what theirs does; 0: at all
};

// All arrays are the host's; see plugtron.context.memory for their meaning.
struct Tokens {
    int count;             // T
    int logit_count;       // N
    int block_size;
    int table_width;
    const int64_t* positions;     // [T]
    const int64_t* owners;        // [T]: the row that each token belongs to
    const int64_t* block_tables;  // [R, table_width]
    const int64_t* logit_index;   // [N], or null when every token wants logits
    const float* const* tables;   // of each rotation that the model has: cosines, then sines, [positions, rotary width];
                                  // then of each temperature, [positions]
};

// The first position that a query at `position` sees.
inline long first_seen(const Layer& layer, long position) {
    const long window = layer.window ? std::max(0L, position + 1 - layer.window) : 0;
    return layer.chunk ? std::max(window, position / layer.chunk * layer.chunk) : window;
}

// Where the first position of a row's block is, of one head: the number of its key, and of its value.
inline long block_place(const Tokens& tokens, long row, long block, int head, int kv_heads) {
    return (tokens.block_tables[row * tokens.table_width + block] * kv_heads + head) * tokens.block_size;
}

// The same of any position.
inline long place(const Tokens& tokens, long row, long position, int head, int kv_heads) {
    return block_place(tokens, row, position / tokens.block_size, head, kv_heads) + position % tokens.block_size;
}

}  // namespace plugtron
