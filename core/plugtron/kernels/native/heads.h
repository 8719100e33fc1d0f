// Queries, keys and values of one step: normalized, rotated, and the latter two put in memory.
#pragma once

#include "memory.h"
#include "norm.h"

namespace plugtron {

struct Heads {
    int query, kv, dim, rotary;  // rotary: how many channels of a head rotate, the first ones; 0: none
    float scale;
    const float* query_norm;  // or null
    const float* key_norm;
    float epsilon;
    int width() const { return (query + 2 * kv) * dim; }
    int group() const { return query / kv; }
};

inline void normalize_head(float* head, const float* weight, int dim, float epsilon) {
    const float factor = 1.0f / std::sqrt(spread_of(head, 0.0f, dim) + epsilon);
    for (int at = 0; at < dim; at++) head[at] *= factor * weight[at];
}

inline void rotate_head(float* head, const float* cosines, const float* sines, int width) {
    const int half = width / 2;
    for (int at = 0; at < half; at++) {
        const float low = head[at], high = head[at + half];
        head[at] = low * cosines[at] + high * sines[at];
        head[at + half] = high * cosines[at + half] + low * sines[at + half];
    }
}

// What belongs to one token and key-value head, in place; its key and value go to memory.
template <class Stored>
inline void rotate_and_write(const Heads& heads, const Layer& layer, const Tokens& tokens, float* qkv, long t, int head) {
    float* token = qkv + t * heads.width();
    float* key = token + (heads.query + head) * heads.dim;
    const float* value = token + (heads.query + heads.kv + head) * heads.dim;
    const float* cosines = tokens.cosines + tokens.positions[t] * heads.rotary;
    const float* sines = tokens.sines + tokens.positions[t] * heads.rotary;
    for (int own = 0; own < heads.group(); own++) {
        float* query = token + (head * heads.group() + own) * heads.dim;
        if (heads.query_norm) normalize_head(query, heads.query_norm, heads.dim, heads.epsilon);
        if (heads.rotary) rotate_head(query, cosines, sines, heads.rotary);
    }
    if (heads.key_norm) normalize_head(key, heads.key_norm, heads.dim, heads.epsilon);
    if (heads.rotary) rotate_head(key, cosines, sines, heads.rotary);
    const long at = place(tokens, tokens.owners[t], tokens.positions[t], head, heads.kv, heads.dim);
    Stored* keys = static_cast<Stored*>(layer.keys) + at;
    Stored* values = static_cast<Stored*>(layer.values) + at;
    for (int channel = 0; channel < heads.dim; channel++) {
        keys[channel] = store<Stored>(key[channel]);
        values[channel] = store<Stored>(value[channel]);
    }
}

}  // namespace plugtron
