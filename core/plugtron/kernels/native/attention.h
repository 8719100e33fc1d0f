// Rotation, writing to KV memory, and attention over it, one token and key-value head at a time.
#pragma once

#include <vector>

#include "memory.h"

namespace plugtron {

struct Heads {
    int query, kv, dim, rotary;  // rotary: how many channels of a head rotate, the first ones; 0: none
    float scale;
    const float* query_norm;  // or null
    const float* key_norm;
    float epsilon;
    int width() const { return (query + 2 * kv) * dim; }
};

inline void normalise_head(float* head, const float* weight, int dim, float epsilon) {
    float squares = 0.0f;
    for (int at = 0; at < dim; at++) squares += head[at] * head[at];
    const float factor = 1.0f / std::sqrt(squares / static_cast<float>(dim) + epsilon);
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

// Normalise and rotate what belongs to one token and key-value head, in place, and put its key and value in memory.
template <class Stored>
inline void rotate_and_write(const Heads& heads, const Layer& layer, const Tokens& tokens, float* qkv, long t, int head) {
    float* token = qkv + t * heads.width();
    const int group = heads.query / heads.kv;
    float* key = token + (heads.query + head) * heads.dim;
    const float* value = token + (heads.query + heads.kv + head) * heads.dim;
    const float* cosines = tokens.cosines + t * heads.rotary;
    const float* sines = tokens.sines + t * heads.rotary;
    for (int own = 0; own < group; own++) {
        float* query = token + (head * group + own) * heads.dim;
        if (heads.query_norm) normalise_head(query, heads.query_norm, heads.dim, heads.epsilon);
        if (heads.rotary) rotate_head(query, cosines, sines, heads.rotary);
    }
    if (heads.key_norm) normalise_head(key, heads.key_norm, heads.dim, heads.epsilon);
    if (heads.rotary) rotate_head(key, cosines, sines, heads.rotary);
    const long at = place(tokens, tokens.owners[t], tokens.positions[t], head, heads.kv, heads.dim);
    Stored* keys = static_cast<Stored*>(layer.keys) + at;
    Stored* values = static_cast<Stored*>(layer.values) + at;
    for (int channel = 0; channel < heads.dim; channel++) {
        keys[channel] = store<Stored>(key[channel]);
        values[channel] = store<Stored>(value[channel]);
    }
}

template <class Stored, int DIM>
inline float dot(const float* query, const Stored* key, int dim) {
    float sum = 0.0f;
    const int width = DIM ? DIM : dim;
    for (int at = 0; at < width; at++) sum += query[at] * load<Stored>(key[at]);
    return sum;
}

// Let the queries of one token that share a key-value head look at its history. `scores` is scratch.
template <class Stored, int DIM>
inline void attend_head(
    const Heads& heads, const Layer& layer, const Tokens& tokens, const float* qkv, float* output, long t, int head,
    std::vector<float>& scores) {
    const int dim = DIM ? DIM : heads.dim, group = heads.query / heads.kv;
    const long row = tokens.owners[t], last = tokens.positions[t];
    const long first = layer.window ? std::max(0L, last + 1 - layer.window) : 0, length = last + 1 - first;
    const Stored* keys = static_cast<const Stored*>(layer.keys);
    const Stored* values = static_cast<const Stored*>(layer.values);
    const float* queries = qkv + t * heads.width() + head * group * dim;
    float* result = output + t * heads.query * dim + head * group * dim;
    if (static_cast<long>(scores.size()) < group * length) scores.resize(group * length);

    for (long position = first; position <= last;) {
        const long end = std::min(last + 1, (position / tokens.block_size + 1) * tokens.block_size);
        const Stored* key = keys + place(tokens, row, position, head, heads.kv, dim);
        for (; position < end; position++, key += dim)
            for (int own = 0; own < group; own++)
                scores[own * length + position - first] = heads.scale * dot<Stored, DIM>(queries + own * dim, key, dim);
    }
    for (int own = 0; own < group; own++) {
        float* line = scores.data() + own * length;
        float most = line[0], sum = 0.0f;
        for (long at = 1; at < length; at++) most = std::fmax(most, line[at]);
        for (long at = 0; at < length; at++) line[at] = exponential(line[at] - most);
        for (long at = 0; at < length; at++) sum += line[at];
        const float factor = 1.0f / sum;
        for (long at = 0; at < length; at++) line[at] *= factor;
    }
    for (int at = 0; at < group * dim; at++) result[at] = 0.0f;
    for (long position = first; position <= last;) {
        const long end = std::min(last + 1, (position / tokens.block_size + 1) * tokens.block_size);
        const Stored* value = values + place(tokens, row, position, head, heads.kv, dim);
        for (; position < end; position++, value += dim)
            for (int own = 0; own < group; own++) {
                const float weight = scores[own * length + position - first];
                float* target = result + own * dim;
                for (int at = 0; at < dim; at++) target[at] += weight * load<Stored>(value[at]);
            }
    }
}

template <class Stored>
inline void attend(
    const Heads& heads, const Layer& layer, const Tokens& tokens, const float* qkv, float* output, long t, int head,
    std::vector<float>& scores) {
    switch (heads.dim) {
        case 64: return attend_head<Stored, 64>(heads, layer, tokens, qkv, output, t, head, scores);
        case 128: return attend_head<Stored, 128>(heads, layer, tokens, qkv, output, t, head, scores);
        default: return attend_head<Stored, 0>(heads, layer, tokens, qkv, output, t, head, scores);
    }
}

}  // namespace plugtron
