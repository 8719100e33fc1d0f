// The most likely candidates of a row: so many, or so much of its probability, without sorting it.
//
// A candidate stays when what is ahead of it, candidates or probability, is less than a limit; ahead is what has a greater
// logit or, of equals, a lower column. Candidates are counted by the high bits of their logits first; only those are put
// in order that share them with the last one that stays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "functions.h"
#include "peak.h"

namespace plugtron {

// Numbers in order as floats are; of zero there is but one.
inline uint32_t ordered(float value) {
    value += 0.0f;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

class MostLikely {
   public:
    // Copies a row with what does not stay at minus infinity. A row with what is no number stays as it is.
    void keep(const float* logits, float* kept, long count, float limit, bool by_probability) {
        const Peak found = peak_of(logits, count);
        const float peak = found.value;
        if (!found.is_number()) {
            std::memcpy(kept, logits, sizeof(float) * count);
            return;
        }
        weigh(logits, count, peak, by_probability);
        double whole = 0.0;
        for (double weight : weights_) whole += weight;
        const double most = by_probability ? double(limit) * whole : double(limit);
        double ahead = 0.0;
        long last;
        // The bin of the likeliest, which has most of them above it that are empty, is never passed over.
        const long first = long(ordered(peak) >> kShift);
        for (last = first; last > 0 && ahead + weights_[last] < most; last--) ahead += weights_[last];
        constexpr float kNothing = -std::numeric_limits<float>::infinity();
        there_.resize(count);
        long found_there = 0;
        const float least = first_of(last);
        for (long at = 0; at < count; at += kBlock) {
            const long end = std::min(at + kBlock, count);
            if (all_below(logits + at, end - at, least)) {
                std::fill(kept + at, kept + end, kNothing);
                continue;
            }
            // Without branches, which nobody could foresee.
            for (long one = at; one < end; one++) {
                const long bin = long(ordered(logits[one]) >> kShift);
                kept[one] = bin > last ? logits[one] : kNothing;
                there_[found_there] = one;
                found_there += bin == last;
            }
        }
        there_.resize(found_there);
        keep_some(logits, kept, ahead, most, peak, by_probability);
    }

   private:
    static constexpr int kShift = 19;
    static constexpr long kBins = 1L << (32 - kShift);
    static constexpr long kBlock = 4 * kLanes;

    // Whether none of a whole block reaches a bound; of a part of one it is not asked.
    static bool all_below(const float* block, long count, float bound) {
        if (count < kBlock) return false;
        const Lane a = greater(load_lane(block), load_lane(block + kLanes));
        const Lane b = greater(load_lane(block + 2 * kLanes), load_lane(block + 3 * kLanes));
        return greatest_of(greater(a, b)) < bound;
    }

    // What the candidates of each bin come to: how many there are, or how probable they are beside the likeliest.
    void weigh(const float* logits, long count, float peak, bool by_probability) {
        weights_.assign(kBins, 0.0);
        float weight[kBlock];
        // What is less likely by e^-40 comes to nothing, however much there is of it.
        const float least = by_probability ? peak - 40.0f : std::numeric_limits<float>::lowest();
        for (long at = 0; at < count; at += kBlock) {
            const long here = std::min(kBlock, count - at);
            if (all_below(logits + at, here, least)) continue;
            if (by_probability)
                for (long one = 0; one < here; one += kLanes)
                    write(weight + one, exponential(load_lane(logits + at + one, int(here - one)) - peak));
            for (long one = 0; one < here; one++)
                if (logits[at + one] >= least)
                    weights_[ordered(logits[at + one]) >> kShift] += by_probability ? weight[one] : 1.0;
        }
    }

    // Of those in the last bin the ones that stay, in order.
    void keep_some(const float* logits, float* kept, double ahead, double most, float peak, bool by_probability) {
        std::sort(there_.begin(), there_.end(), [logits](long a, long b) {
            return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
        });
        for (long at : there_) {
            if (ahead >= most && ahead > 0.0) return;
            kept[at] = logits[at];
            ahead += by_probability ? double(fold(exponential(lane_of(logits[at] - peak)), [](Four a, Four) { return a; })) : 1.0;
        }
    }

    // The least number of a bin.
    static float first_of(long bin) {
        const uint32_t bits = uint32_t(bin) << kShift;
        const uint32_t own = bits & 0x80000000u ? bits ^ 0x80000000u : ~bits;
        float value;
        std::memcpy(&value, &own, sizeof(value));
        return value;
    }

    std::vector<double> weights_;
    std::vector<long> there_;  // the columns of what is in the last bin
};

}  // namespace plugtron
