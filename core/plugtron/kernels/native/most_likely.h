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
        for (long at = 0; at < count; at++)
            kept[at] = long(ordered(logits[at]) >> kShift) > last ? logits[at] : -std::numeric_limits<float>::infinity();
        keep_some(logits, kept, count, last, ahead, most, peak, by_probability);
    }

   private:
    static constexpr int kShift = 19;
    static constexpr long kBins = 1L << (32 - kShift);

    // What the candidates of each bin come to: how many there are, or how probable they are beside the likeliest.
    void weigh(const float* logits, long count, float peak, bool by_probability) {
        weights_.assign(kBins, 0.0);
        float weight[kLanes];
        for (long at = 0; at < count; at += kLanes) {
            const int here = int(std::min<long>(kLanes, count - at));
            if (by_probability) write(weight, exponential(load_lane(logits + at, here) - peak));
            for (int one = 0; one < here; one++)
                if (logits[at + one] > -std::numeric_limits<float>::infinity())
                    weights_[ordered(logits[at + one]) >> kShift] += by_probability ? weight[one] : 1.0;
        }
    }

    // Of the last bin those that stay, in order.
    void keep_some(
        const float* logits, float* kept, long count, long bin, double ahead, double most, float peak,
        bool by_probability) {
        there_.clear();
        for (long at = 0; at < count; at++)
            if (long(ordered(logits[at]) >> kShift) == bin) there_.push_back(at);
        std::sort(there_.begin(), there_.end(), [logits](long a, long b) {
            return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
        });
        for (long at : there_) {
            if (ahead >= most && ahead > 0.0) return;
            kept[at] = logits[at];
            ahead += by_probability ? double(fold(exponential(lane_of(logits[at] - peak)), [](Four a, Four) { return a; })) : 1.0;
        }
    }

    std::vector<double> weights_;
    std::vector<long> there_;
};

}  // namespace plugtron
