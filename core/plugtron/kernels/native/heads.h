// Queries, keys and values of one step: rotated by their positions, and the latter two put in memory.
#pragma once

#include "activations.h"  // bfloat16
#include "int8_row.h"
#include "memory.h"

namespace plugtron {

// Some columns of a buffer's rows.
struct Columns {
    float* data;
    long stride;
    float* row(long number) const { return data + number * stride; }
};

struct Heads {
    int query, kv, dim;
    int rotary;        // how many channels of a head rotate, the first ones; 0: none
    bool interleaved;  // channels rotate with their neighbors, else the first half with the second
    Columns queries, keys, values;
    const float* cosines;  // [positions, rotary], or null
    const float* sines;    // the same, negated for the first of each pair
    const float* growth;   // [positions], what queries are multiplied with, or null
    int group() const { return query / kv; }
};

inline void rotate_head(float* head, const float* cosines, const float* sines, int width, bool interleaved) {
    const int half = width / 2;
    if (interleaved) {
        for (int at = 0; at < half; at++) {
            const float low = head[2 * at], high = head[2 * at + 1];
            head[2 * at] = low * cosines[2 * at] + high * sines[2 * at];
            head[2 * at + 1] = high * cosines[2 * at + 1] + low * sines[2 * at + 1];
        }
        return;
    }
    for (int at = 0; at < half; at++) {
        const float low = head[at], high = head[at + half];
        head[at] = low * cosines[at] + high * sines[at];
        head[at + half] = high * cosines[at + half] + low * sines[at + half];
    }
}

// Put a key or a value in memory, as number `at`.
template <class Stored>
inline void keep(const float* row, int width, long at, Stored* memory, float* scales) {
    Stored* target = memory + at * width;
    if constexpr (sizeof(Stored) == 1)
        scales[at] = round_row(row, width, 127.0f, target);
    else if constexpr (sizeof(Stored) == 2)
        for (int channel = 0; channel < width; channel++) target[channel] = float_to_bf16(row[channel]);
    else
        std::copy_n(row, width, target);
}

// What belongs to one token and key-value head, in place; its key and value go to memory.
template <class Stored>
inline void rotate_and_write(const Heads& heads, const Layer& layer, const Tokens& tokens, long t, int head) {
    float* key = heads.keys.row(t) + head * heads.dim;
    const float* value = heads.values.row(t) + head * heads.dim;
    if (heads.rotary) {
        const float* cosines = heads.cosines + tokens.positions[t] * heads.rotary;
        const float* sines = heads.sines + tokens.positions[t] * heads.rotary;
        for (int own = 0; own < heads.group(); own++) {
            float* query = heads.queries.row(t) + (head * heads.group() + own) * heads.dim;
            rotate_head(query, cosines, sines, heads.rotary, heads.interleaved);
        }
        rotate_head(key, cosines, sines, heads.rotary, heads.interleaved);
    }
    if (heads.growth) {
        const float factor = heads.growth[tokens.positions[t]];
        float* queries = heads.queries.row(t) + head * heads.group() * heads.dim;
        for (int channel = 0; channel < heads.group() * heads.dim; channel++) queries[channel] *= factor;
    }
    const long at = place(tokens, tokens.owners[t], tokens.positions[t], head, heads.kv);
    keep(key, heads.dim, at, static_cast<Stored*>(layer.keys), layer.key_scales);
    keep(value, heads.dim, at, static_cast<Stored*>(layer.values), layer.value_scales);
}

}  // namespace plugtron
