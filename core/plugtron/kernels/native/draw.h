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

inline float gumbel(uint32_t word) { return -std::log(-std::log1p(-uniform_of(word))); }

// The greatest so far; among equals the one whose column is lowest.
struct Best {
    float score = -std::numeric_limits<float>::infinity();
    long column = 0;

    void offer(float other, long at) {
        if (other > score || (other == score && at < column)) *this = {other, at};
    }
};

// Draws from a row's candidates, in blocks; which random words are whose the two below say.
template <int BLOCK>
class Draw {
   public:
    Draw(const RandomKey& key, Best best) : key_(key), best_(best) {}

    Best best() const { return best_; }
    const RandomKey& key() const { return key_; }

    // Offer `here` scores, at most BLOCK; `fill(words)` gives each its random word.
    template <class Fill>
    void offer(const float* scores, long first, int here, Fill fill) {
        float rest[BLOCK];
        const float* block = scores + first;
        if (here < BLOCK) {
            for (int at = 0; at < BLOCK; at++) rest[at] = at < here ? block[at] : -1e30f;
            block = rest;
        }
        if (greatest_in(block, BLOCK) + 23.0f < best_.score) return;  // no noise is greater
        // To win, -log(-log(1 - u)) has to be above what is missing, so u below e^-missing. A little more is let through.
        float bounds[BLOCK];
        for (int at = 0; at < BLOCK; at += kLanes) {
            const Lane missing = load_lane(block + at) - best_.score;
            write(bounds + at, exponential(smaller(missing, lane_of(0.0f))) * (1.001f * 4294967296.0f));
        }
        uint32_t words[BLOCK];
        fill(words);
        float random[BLOCK];
        for (int at = 0; at < BLOCK; at++) random[at] = float(words[at] >> 8) * 256.0f;
        uint32_t some = 0;
        for (int at = 0; at < BLOCK; at++) some |= uint32_t(random[at] <= bounds[at]);
        if (!some) return;
        for (int at = 0; at < here; at++)
            if (random[at] <= bounds[at]) best_.offer(block[at] + gumbel(words[at]), first + at);
    }

   private:
    const RandomKey key_;
    Best best_;
};

// The best score with its noise, from which a draw begins: there is something to be beaten.
inline Best with_noise(const RandomKey& key, float score, long column, int64_t id) {
    uint32_t one[4][1] = {{uint32_t(id >> 2)}};
    philox(key, one);
    return {score + gumbel(one[id & 3][0]), column};
}

// The column that is drawn from `count` scores that are numbers or masked, the greatest being in column `greatest`.
inline long draw_from(const float* scores, long count, long greatest, const RandomKey& key) {
    constexpr int kCounters = 32, kBlock = 4 * kCounters;  // four neighbors share a counter
    Draw<kBlock> draw(key, with_noise(key, scores[greatest], greatest, greatest));
    for (long first = 0; first < count; first += kBlock)
        draw.offer(scores, first, int(std::min<long>(kBlock, count - first)), [&](uint32_t (&found)[kBlock]) {
            uint32_t words[4][kCounters];
            philox_from(key, uint32_t(first / 4), words);
            for (int part = 0; part < 4; part++)
                for (int at = 0; at < kCounters; at++) found[4 * at + part] = words[part][at];
        });
    return draw.best().column;
}

// The same where a column's id stands in `ids`.
template <class Id>
inline long draw_among(const float* scores, const Id* ids, long count, long greatest, const RandomKey& key) {
    constexpr int kBlock = 32;
    Draw<kBlock> draw(key, with_noise(key, scores[greatest], greatest, ids[greatest]));
    for (long first = 0; first < count; first += kBlock) {
        const int here = int(std::min<long>(kBlock, count - first));
        draw.offer(scores, first, here, [&](uint32_t (&found)[kBlock]) {
            uint32_t words[4][kBlock] = {};
            for (int at = 0; at < here; at++) words[0][at] = uint32_t(int64_t(ids[first + at]) >> 2);
            philox(key, words);
            for (int at = 0; at < here; at++) found[at] = words[ids[first + at] & 3][at];
            for (int at = here; at < kBlock; at++) found[at] = 0xffffffffu;
        });
    }
    return draw.best().column;
}

// The column of the greatest of `count` scores plus noise; -1 where all are masked, -2 where one is NaN or infinite.
inline long draw_column(const float* scores, const int64_t* ids, long count, const RandomKey* key) {
    const Peak peak = peak_of(scores, count);
    if (!peak.is_number()) return peak.all_numbers && peak.value < 0 ? -1 : -2;
    if (key == nullptr) return peak.column;
    return ids == nullptr ? draw_from(scores, count, peak.column, *key)
                          : draw_among(scores, ids, count, peak.column, *key);
}

}  // namespace plugtron
