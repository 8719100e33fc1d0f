// What a stage does to all candidates of a row: temperatures, and what cuts the distribution down. Each is a number of
// RowOp's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "candidate_row.h"
#include "philox.h"

namespace plugtron {

// The entropy of what is left, in nats.
inline double entropy_of(CandidateRow& row) {
    const Moments& sums = row.moments();
    return std::log(sums.whole) - sums.weighted / sums.whole;
}

// The logit of a probability; the greatest where it would be above that.
inline float logit_of(CandidateRow& row, double probability) {
    return std::min(row.peak(), float(row.peak() + std::log(probability * row.moments().whole)));
}

// Numbers: range, exponent, and the fixed temperature, which a later stage divides by.
inline void dynamic_temperature(CandidateRow& row, float range, float exponent, float fixed) {
    constexpr double kLeast = 1e-6;
    LongSum there;
    row.each_block(std::numeric_limits<float>::lowest(), [&](const float* block, long) {
        for (long at = 0; at < CandidateRow::kBlock; at += kLanes)
            there.add(where_above(load_lane(block + at), lane_of(kMasked), lane_of(1.0f), lane_of(0.0f)));
        there.end_block();
    });
    // One candidate has no entropy, and none to have at most.
    const double share = std::clamp(entropy_of(row) / std::log(std::max(2.0, there.total())), 0.0, 1.0);
    const double lowest = std::max(0.0f, fixed - range), highest = fixed + range;
    const double chosen = std::max(kLeast, lowest + (highest - lowest) * std::pow(share, double(exponent)));
    row.multiply(float(fixed / chosen));
}

inline void top_n_sigma(CandidateRow& row, float sigmas) {
    const float peak = row.peak();
    LongSum sum, squares, there;
    const Lane none = lane_of(0.0f), one = lane_of(1.0f), low = lane_of(kMasked);
    row.each_block(std::numeric_limits<float>::lowest(), [&](const float* block, long) {
        for (long at = 0; at < CandidateRow::kBlock; at += kLanes) {
            const Lane value = load_lane(block + at), below = where_above(value, low, value - peak, none);
            sum.add(below);
            squares.add_product(below, below);
            there.add(where_above(value, low, one, none));
        }
        sum.end_block();
        squares.end_block();
        there.end_block();
    });
    const double count = there.total(), mean = sum.total() / count;
    const double variance = std::max(0.0, squares.total() / count - mean * mean);
    row.keep_from(peak - sigmas * float(std::sqrt(variance)));
}

// Columns of a row that are to be put in order.
class RowCuts {
   public:
    // The k most likely; among equals the lower ids.
    void top_k(CandidateRow& row, long k) {
        if (k >= row.count()) return;
        const long blocks = row.blocks();
        if (!row.packed() && k > std::min(blocks, CandidateRow::kFew)) return row.keep_most_likely(float(k));
        float least = std::numeric_limits<float>::lowest();
        if (!row.packed()) {
            // As many blocks have a logit of at least that.
            peaks_.assign(row.peaks(), row.peaks() + blocks);
            std::nth_element(peaks_.begin(), peaks_.begin() + (k - 1), peaks_.end(), std::greater<float>());
            least = std::max(least, peaks_[k - 1]);
        }
        gather(row, least);
        if (long(columns_.size()) > k) {
            const auto likelier = [&](int32_t a, int32_t b) { return before(row.value(b), row.value(a), a, b); };
            std::nth_element(columns_.begin(), columns_.begin() + k, columns_.end(), likelier);
            columns_.resize(k);
        }
        std::sort(columns_.begin(), columns_.end());
        row.keep_columns(columns_);
    }

    // The most likely that together have this probability.
    void top_p(CandidateRow& row, float probability) {
        const double whole = row.moments().whole, most = double(probability) * whole;
        // What is below that comes to less than the rest of the probability, however much of it there is.
        row.keep_from(logit_of(row, 0.5 * (1.0 - double(probability)) / double(row.count())));
        float low = std::max(row.peak() - 40.0f, std::numeric_limits<float>::lowest());
        float high = std::nextafter(row.peak(), std::numeric_limits<float>::infinity());
        double ahead = 0.0;
        if (!row.packed() || row.count() > kSorted) {
            weigh(row);
            if (above(row, low).mass < most) return;  // all of it is wanted
            ahead = approach(row, most, low, high);
        } else {
            weigh(row);
            low = std::numeric_limits<float>::lowest();
        }
        gather(row, low, high);
        std::sort(columns_.begin(), columns_.end(), [&](int32_t a, int32_t b) {
            return before(row.value(b), row.value(a), a, b);
        });
        size_t kept = 0;
        for (; kept < columns_.size() && (ahead < most || ahead <= 0.0); kept++) ahead += weights_[columns_[kept]];
        for (; kept < columns_.size(); kept++) row.drop(columns_[kept]);
        row.settle();
        row.keep_from(low);
    }

    // Those whose surprise is nearest to the entropy, until they have this probability; of equally near ones all.
    void typical_p(CandidateRow& row, float probability) {
        const Moments sums = row.moments();
        const float peak = row.peak(), center = float(sums.weighted / sums.whole);
        const auto distance = [=](float value) { return std::abs((value - peak) - center); };
        const double wanted = double(probability) * sums.whole;
        double ahead = 0.0;
        columns_.clear();
        if (row.count() <= kSorted)
            gather(row, std::numeric_limits<float>::lowest());
        else
            ahead = nearest_bin(row, distance, wanted);
        std::sort(columns_.begin(), columns_.end(), [&](int32_t a, int32_t b) {
            return before(distance(row.value(a)), distance(row.value(b)), a, b);
        });
        float last = std::numeric_limits<float>::infinity();
        for (const int32_t column : columns_) {
            last = distance(row.value(column));
            ahead += std::exp(double(row.value(column) - row.peak()));
            if (ahead >= wanted) break;
        }
        row.keep(std::numeric_limits<float>::lowest(), [&](float value) { return distance(value) <= last; });
    }

    // With this probability, of what is at least so likely only the least likely stays, and what is below it.
    void exclude_top(CandidateRow& row, float probability, float threshold, const RandomKey& key) {
        uint32_t words[4][1] = {};
        philox(key, words, kStream);
        if (!(uniform_of(words[0][0]) < probability)) return;
        const double least = double(threshold) * row.moments().whole;
        const float bound = threshold > 0.0f ? float(row.peak() + std::log(least)) : std::numeric_limits<float>::lowest();
        float last = std::numeric_limits<float>::infinity();
        row.each_block(bound, [&](const float* block, long) {
            for (long at = 0; at < CandidateRow::kBlock; at++)
                if (block[at] >= bound) last = std::min(last, block[at]);
        });
        row.keep(std::numeric_limits<float>::lowest(), [last](float value) { return value <= last; });
    }

   private:
    // So many are put in order as they are.
    static constexpr long kSorted = 512;
    static constexpr uint32_t kStream = 1;  // the draw's own noise is stream 0
    static constexpr int kShift = 19;

    static bool before(float a, float b, int32_t first, int32_t second) {
        return a < b || (a == b && first < second);
    }

    struct Above {
        double mass, count;
    };

    // How much, and how many, are not below a bound.
    Above above(const CandidateRow& row, float bound) const {
        const Lane below = lane_of(std::nextafter(bound, kMasked)), none = lane_of(0.0f), one = lane_of(1.0f);
        LongSum mass, count;
        row.each_block(bound, [&](const float* block, long first) {
            for (long at = 0; at < CandidateRow::kBlock; at += kLanes) {
                const Lane value = load_lane(block + at);
                mass.add(where_above(value, below, load_lane(weights_.data() + first + at), none));
                count.add(where_above(value, below, one, none));
            }
            mass.end_block();
            count.end_block();
        });
        return {mass.total(), count.total()};
    }

    // Bring two bounds together, from the upper of which on there is less than `most` and from the lower at least that, until
    // few are between them; return how much there is from the upper on.
    double approach(const CandidateRow& row, double most, float& low, float& high) const {
        Above from_low = above(row, low), from_high = {0.0, 0.0};
        while (from_low.count - from_high.count > double(kSorted)) {
            const float middle = low + (high - low) * 0.5f;
            if (!(middle > low && middle < high)) break;  // all between them are equal
            const Above found = above(row, middle);
            (found.mass < most ? high : low) = middle;
            (found.mass < most ? from_high : from_low) = found;
        }
        return from_high.mass;
    }

    // The columns of what is neither below `least` nor from `high` on.
    void gather(const CandidateRow& row, float least, float high = std::numeric_limits<float>::infinity()) {
        columns_.clear();
        row.each_block(least, [&](const float* block, long first) {
            for (long lane = 0; lane < CandidateRow::kBlock; lane += kLanes) {
                int some = 0;
                for (long at = lane; at < lane + kLanes; at++) some += int(block[at] >= least) & int(block[at] < high);
                if (!some) continue;
                for (long at = lane; at < lane + kLanes; at++)
                    if (block[at] >= least && block[at] < high) columns_.push_back(int32_t(first + at));
            }
        });
    }

    // e^y of all columns.
    void weigh(const CandidateRow& row) {
        weights_.resize(row.blocks() * CandidateRow::kBlock);
        for (size_t at = 0; at < weights_.size(); at += kLanes)
            write(weights_.data() + at, exponential(load_lane(row.values() + at) - row.peak()));
    }

    // Add up by bins of distances, find the bin in which what is wanted is reached, and gather its columns; return what is
    // ahead of it.
    template <class Distance>
    double nearest_bin(const CandidateRow& row, Distance distance, double wanted) {
        const auto bin_of = [&](float value) { return ordered(distance(value)) >> kShift; };
        bins_.assign(1L << (32 - kShift), 0.0);
        row.each_block(row.peak() - 40.0f, [&](const float* block, long) {
            float weights[CandidateRow::kBlock];
            for (long at = 0; at < CandidateRow::kBlock; at += kLanes)
                write(weights + at, exponential(load_lane(block + at) - row.peak()));
            for (long at = 0; at < CandidateRow::kBlock; at++)
                if (block[at] > kMasked) bins_[bin_of(block[at])] += weights[at];
        });
        double ahead = 0.0;
        size_t last = 0;
        for (; last + 1 < bins_.size() && ahead + bins_[last] < wanted; last++) ahead += bins_[last];
        row.each_block(std::numeric_limits<float>::lowest(), [&](const float* block, long first) {
            for (long at = 0; at < CandidateRow::kBlock; at++)
                if (block[at] > kMasked && bin_of(block[at]) == last) columns_.push_back(int32_t(first + at));
        });
        return ahead;
    }

    std::vector<int32_t> columns_;
    std::vector<float> peaks_;
    Floats weights_;
    std::vector<double> bins_;
};

}  // namespace plugtron
