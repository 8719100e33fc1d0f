// What a stage does to the logits of some ids: bans, biases, penalties. Each is one of RowOp. A Row finds a logit by its id.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "candidate_row.h"

namespace plugtron {

// The tables that a stage has for a row; what an operation does not read is null.
struct RowTables {
    const float* numbers;
    const int64_t* ids;  // [length]; the first below 0 ends them
    const float* values;
    const int64_t* counts;
    const uint8_t* flags;
    long length, flag_count;
};

// Mask the ids whose bit is 0, the lowest first in each byte, and those beyond the bits.
inline void allow(CandidateRow& row, const RowTables& stage) {
    const auto byte_at = [&](long at) { return at < stage.flag_count ? unsigned(stage.flags[at]) : 0u; };
    const Lane masked = lane_of(kMasked);
    row.mask_lanes([&](long first, const Lane& logits) {
        unsigned bits = 0;
        if (!row.packed())
            bits = byte_at(first / 8) | byte_at(first / 8 + 1) << 8;
        else
            for (long at = 0; at < std::min<long>(kLanes, row.count() - first); at++) {
                const int64_t id = row.id(first + at);
                bits |= (byte_at(id / 8) >> (id % 8) & 1) << at;
            }
        return where_set(bits, logits, masked);
    });
}

template <class Row>
inline void mask_ids(Row& row, const RowTables& stage) {
    for (long at = 0; at < stage.length && stage.ids[at] >= 0; at++)
        if (float* logit = row.find(stage.ids[at])) *logit = kMasked;
}

template <class Row>
inline void add(Row& row, const RowTables& stage) {
    for (long at = 0; at < stage.length && stage.ids[at] >= 0; at++)
        if (float* logit = row.find(stage.ids[at])) *logit += stage.values[at];
}

// Logits as they were, to be changed all at once: an id may come several times.
using Changes = std::vector<std::pair<float*, float>>;

// Numbers: repetition, presence and frequency penalty. `values` say how often an id, by which they are found, was drawn.
template <class Row>
inline void penalize(Row& row, const RowTables& stage, Changes& changes) {
    const float repetition = stage.numbers[0], presence = stage.numbers[1], frequency = stage.numbers[2];
    changes.clear();
    for (long at = 0; at < stage.length && stage.ids[at] >= 0; at++) {
        float* logit = row.find(stage.ids[at]);
        if (logit == nullptr) continue;
        const float before = *logit, count = stage.values[stage.ids[at]];
        const float scaled = before > 0.0f ? before / repetition : before * repetition;
        changes.emplace_back(logit, scaled - presence * float(count > 0.0f) - frequency * count);
    }
    for (const auto& [logit, after] : changes) *logit = after;
}

// Numbers: multiplier, base, allowed length, range. `counts` say how many tokens before a place are the same as the last
// ones; `flags`, by id, which tokens lose nothing. An id loses what the longest repetition costs that it would continue.
template <class Row>
inline void penalize_repeated(Row& row, const RowTables& stage, Changes& changes) {
    constexpr float kMost = 1e30f;  // far above any logit, and finite
    const float multiplier = stage.numbers[0], base = stage.numbers[1];
    const float allowed = stage.numbers[2], range = stage.numbers[3];
    long length = 0;
    while (length < stage.length && stage.ids[length] >= 0) length++;
    const long begin = range < float(length) ? length - long(range) : 0;
    changes.clear();
    for (long place = begin; place < length; place++) {
        const float beyond = float(std::min<long>(stage.counts[place], place - begin)) - allowed;
        const int64_t id = stage.ids[place];
        if (beyond < 0.0f || (id < stage.flag_count && stage.flags[id])) continue;
        if (float* logit = row.find(id))
            changes.emplace_back(logit, *logit - std::min(multiplier * std::pow(base, beyond), kMost));
    }
    for (const auto& [logit, after] : changes) *logit = std::min(*logit, after);
}

// Numbers: how many tokens before a place have to be the same as the last ones for its id to be masked.
template <class Row>
inline void mask_repeated(Row& row, const RowTables& stage) {
    for (long place = 0; place < stage.length && stage.ids[place] >= 0; place++)
        if (float(stage.counts[place]) >= stage.numbers[0])
            if (float* logit = row.find(stage.ids[place])) *logit = kMasked;
}

}  // namespace plugtron
