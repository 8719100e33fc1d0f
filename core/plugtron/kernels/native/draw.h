// The draw: Gumbel noise for every candidate, and the greatest sum.
//
// Most candidates cannot win whatever their noise: what they would have to have is compared with their random bits, and
// the two logarithms are computed for the few that are left.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "functions.h"
#include "peak.h"
#include "philox.h"

namespace plugtron {

constexpr float kWordUnit = 2.3283064365386963e-10f;  // 2^-32

inline float gumbel(uint32_t word) {
    const float uniform = std::min((float(word) + 0.5f) * kWordUnit, 1.0f - 5.9604645e-8f);
    return -std::log(-std::log1p(-uniform));
}

// The greatest so far; among equals the one whose column is lowest.
struct Best {
    float score = -std::numeric_limits<float>::infinity();
    long column = 0;

    void offer(float other, long at) {
        if (other > score || (other == score && at < column)) *this = {other, at};
    }
};

// The column of the greatest of `count` scores plus noise; -1 where all are masked, -2 where one is NaN or infinite.
inline long draw_column(const float* scores, const int64_t* ids, long count, const RandomKey* key) {
    const Peak peak = peak_of(scores, count);
    if (!peak.is_number()) return peak.all_numbers && peak.value < 0 ? -1 : -2;
    Best best{peak.value, 0};
    while (scores[best.column] != peak.value) best.column++;
    if (key == nullptr) return best.column;

    constexpr int kCounters = 32, kBlock = 4 * kCounters;
    uint32_t words[4][kCounters];
    const auto noise_of = [&](int64_t id) {
        uint32_t one[4][1];
        philox(*key, uint32_t(id >> 2), one);
        return gumbel(one[id & 3][0]);
    };
    // The likeliest first: with its noise there is something to be beaten.
    best.score += noise_of(ids == nullptr ? best.column : ids[best.column]);
    if (ids != nullptr) {
        for (long at = 0; at < count; at++)
            if (scores[at] > -std::numeric_limits<float>::infinity()) best.offer(scores[at] + noise_of(ids[at]), at);
        return best.column;
    }
    for (long first = 0; first < count; first += kBlock) {
        const int here = int(std::min<long>(kBlock, count - first));
        float rest[kBlock];
        const float* block = scores + first;
        if (here < kBlock) {
            for (int at = 0; at < kBlock; at++) rest[at] = at < here ? block[at] : -1e30f;
            block = rest;
        }
        // To win, -log(-log(1 - u)) has to be above what is missing, so u below e^-missing. A little more is let through.
        Lane highest = lane_of(-1e30f);
        for (int at = 0; at < kBlock; at += kLanes) highest = greater(highest, load_lane(block + at));
        if (greatest_of(highest) + 23.0f < best.score) continue;  // no noise is greater
        float bounds[kBlock];
        for (int at = 0; at < kBlock; at += kLanes) {
            const Lane missing = load_lane(block + at) - best.score;
            write(bounds + at, exponential(smaller(missing, lane_of(0.0f))) * (1.001f * 4294967296.0f));
        }
        philox(*key, uint32_t(first / 4), words);
        float random[kBlock];
        for (int part = 0; part < 4; part++)
            for (int at = 0; at < kCounters; at++) random[4 * at + part] = float(words[part][at] >> 8) * 256.0f;
        uint32_t some = 0;
        for (int at = 0; at < kBlock; at++) some |= uint32_t(random[at] <= bounds[at]);
        if (!some) continue;
        for (int at = 0; at < here; at++)
            if (random[at] <= bounds[at]) best.offer(block[at] + gumbel(words[at & 3][at / 4]), first + at);
    }
    return best.column;
}

}  // namespace plugtron
