// The candidates of one row while stages work on them, in memory that stays in a processor's cache.
//
// At first a column is an id. As soon as few candidates are left they are packed, with their ids, in the order of ids.
// Columns lie in blocks, each with its greatest logit, so that blocks that have nothing to say are passed over.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "functions.h"
#include "long_sum.h"
#include "most_likely.h"
#include "peak.h"

namespace plugtron {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// Sums over the candidates that are left, y being how far one is above the greatest (0 or less): of e^y, and of y e^y.
struct Moments {
    double whole = 0.0, weighted = 0.0;
};

class CandidateRow {
   public:
    // Less than this are packed.
    static constexpr long kFew = 2048;

    void load(const float* logits, long count) {
        packed_ = weighed_ = false;
        count_ = count;
        Lane noted = lane_of(0.0f);
        values_.resize(blocks() * kBlock);
        peaks_.resize(blocks());
        dirty_.assign(blocks(), 0);
        ids_.resize(kFew + 1);
        for (long block = 0; block < blocks(); block++) {
            float* own = values_.data() + block * kBlock;
            const long here = std::min(kBlock, count - block * kBlock);
            const float* from = logits + block * kBlock;
            if (here < kBlock) {
                std::memcpy(own, from, sizeof(float) * here);
                std::fill(own + here, own + kBlock, kMasked);
                from = own;
            }
            Lane most = lane_of(kMasked);
            for (long at = 0; at < kBlock; at += kLanes) {
                const Lane some = load_lane(from + at);
                write(own + at, some);
                most = greater(most, some);
                noted = note_nan(noted, some);
            }
            peaks_[block] = greatest_of(most);
        }
        all_numbers_ = greatest_of(noted) <= 0.0f;
        find_peak();
    }

    long count() const { return count_; }
    float value(long column) const { return values_[column]; }
    float peak() const { return peak_; }
    int64_t id(long column) const { return packed_ ? ids_[column] : column; }

    // Whether a token can be drawn from what is left: there is a greatest, and it is a number, as are all others.
    bool drawable() const { return all_numbers_ && std::abs(peak_) <= std::numeric_limits<float>::max(); }
    // What stands for a token where it cannot.
    long failure() const { return all_numbers_ && peak_ < 0 ? -1 : -2; }

    // The logit of an id, to be read or written; null where it is no candidate. `settle` is to follow what is written.
    float* find(int64_t id) {
        if (id < 0 || (!packed_ && id >= count_)) return nullptr;
        if (packed_) {
            const auto end = ids_.begin() + count_, place = std::lower_bound(ids_.begin(), end, int32_t(id));
            if (place == end || *place != id) return nullptr;
            id = place - ids_.begin();
        }
        dirty_[id / kBlock] = 1;
        return values_.data() + id;
    }

    // Mask a column. `settle` is to follow.
    void drop(long column) {
        values_[column] = kMasked;
        dirty_[column / kBlock] = 1;
    }

    // Put what `change(first, logits)` makes of each lane in its place, which must be the logit or -infinity. The rest that
    // is masked behind the end comes, too.
    template <class Change>
    void mask_lanes(Change change) {
        for (long block = 0; block < blocks(); block++) {
            Lane most = lane_of(kMasked);
            for (long at = block * kBlock; at < (block + 1) * kBlock; at += kLanes) {
                const Lane left = change(at, load_lane(values_.data() + at));
                write(values_.data() + at, left);
                most = greater(most, left);
            }
            peaks_[block] = greatest_of(most);
        }
        // NaN logits may have been masked.
        if (!all_numbers_) all_numbers_ = !has_nan(values_.data(), blocks() * kBlock);
        find_peak();
        weighed_ = false;
    }

    // Find the greatest anew where logits have been written.
    void settle() {
        for (long block = 0; block < blocks(); block++) {
            if (!dirty_[block]) continue;
            dirty_[block] = 0;
            const float* own = values_.data() + block * kBlock;
            peaks_[block] = greatest_in(own, kBlock);
            all_numbers_ = all_numbers_ && !has_nan(own, kBlock);
        }
        // NaN logits may have been masked.
        if (!all_numbers_) all_numbers_ = !has_nan(values_.data(), blocks() * kBlock);
        find_peak();
        weighed_ = false;
    }

    // Multiply, or divide, every logit by a number above 0, which leaves them in order.
    void multiply(float by) {
        scale([by](auto value) { return value * by; });
    }
    void divide(float by) {
#if PLUGTRON_VNNI || PLUGTRON_AVX2
        // Where sums of products round once, a quotient is put right with them: it has the bits that a division gives.
        const Lane whole = lane_of(by), inverse = lane_of(1.0f / by), low = lane_of(kMasked);
        for (long at = 0; at < blocks() * kBlock; at += kLanes) {
            const Lane value = load_lane(values_.data() + at), near = value * inverse;
            const Lane right = fused(near, fused(value, near * -1.0f, whole), inverse);
            write(values_.data() + at, where_above(near, low, right, near));
        }
        scaled([by](float value) { return value / by; });
#else
        scale([by](auto value) { return value / by; });
#endif
    }

    const Moments& moments() {
        if (weighed_) return moments_;
        LongSum whole, weighted;
        for (long block = 0; block < blocks(); block++) {
            // What is less likely by e^-40 comes to nothing, however much there is of it.
            if (peaks_[block] < peak_ - 40.0f) continue;
            for (long at = 0; at < kBlock; at += kLanes) {
                const Lane below = greater(load_lane(values_.data() + block * kBlock + at) - peak_, lane_of(-87.0f));
                const Lane weight = exponential_in_range(below);
                whole.add(weight);
                weighted.add_product(below, weight);
            }
            whole.end_block();
            weighted.end_block();
        }
        moments_ = {whole.total(), weighted.total()};
        weighed_ = true;
        return moments_;
    }

    // Call `look(logits)` for the kBlock logits of each block that has one of at least `least`; masked ones are among them.
    template <class Look>
    void each_block(float least, Look look) const {
        for (long block = 0; block < blocks(); block++)
            if (peaks_[block] >= least) look(values_.data() + block * kBlock, block * kBlock);
    }

    // Mask what `stays` says no to; it is asked of no logit below `least`, which none of them keeps.
    template <class Stays>
    void keep(float least, Stays stays) {
        const auto kept = [&](float value) { return bool(int(value > kMasked) & int(value >= least) & int(stays(value))); };
        long left = 0;
        each_block(least, [&](const float* block, long) {
            int some = 0;
            for (long at = 0; at < kBlock; at++) some += int(kept(block[at]));
            left += some;
        });
        if (left <= kFew)
            pack(least, kept);
        else
            mask(least, kept);
        find_peak();
        weighed_ = false;
    }

    // Mask what is below a bound.
    void keep_from(float least) {
        if (!(least > kMasked)) return;
        const float below = std::nextafter(least, kMasked);
        LongSum left;
        for (long block = 0; block < blocks(); block++) {
            if (peaks_[block] < least) continue;
            for (long at = block * kBlock; at < (block + 1) * kBlock; at += kLanes) {
                const Lane value = load_lane(values_.data() + at), bound = lane_of(below);
                write(values_.data() + at, where_above(value, bound, value, lane_of(kMasked)));
                left.add(where_above(value, bound, lane_of(1.0f), lane_of(0.0f)));
            }
            left.end_block();
        }
        if (left.total() <= double(kFew)) {
            pack(least, [](float value) { return value > kMasked; });
        } else {
            for (long block = 0; block < blocks(); block++) {
                if (!(peaks_[block] < least)) continue;
                peaks_[block] = kMasked;
                std::fill_n(values_.begin() + block * kBlock, kBlock, kMasked);
            }
        }
        find_peak();
        weighed_ = false;
    }

    // Keep the columns [count] in order, of which there are few.
    void keep_columns(const std::vector<int32_t>& columns) {
        long left = 0;
        for (const int32_t column : columns) {
            const int32_t own = int32_t(id(column));
            values_[left] = values_[column];
            ids_[left++] = own;
        }
        finish_packing(left);
        find_peak();
        weighed_ = false;
    }

    // Keep so many of the most likely, without putting all in order.
    void keep_most_likely(float limit) {
        other_.resize(values_.size());
        most_likely_.keep(values_.data(), other_.data(), count_, limit, false);
        std::fill(other_.begin() + count_, other_.begin() + blocks() * kBlock, kMasked);
        std::swap(values_, other_);
        std::fill(dirty_.begin(), dirty_.begin() + blocks(), 1);
        settle();
        keep_from(std::numeric_limits<float>::lowest());
    }

    // The greatest logit of each block, and how many blocks there are.
    const float* peaks() const { return peaks_.data(); }
    long blocks() const { return (count_ + kBlock - 1) / kBlock; }
    bool packed() const { return packed_; }

    // The first column that has the greatest logit.
    long peak_column() const {
        long column = 0;
        while (peaks_[column / kBlock] != peak_) column += kBlock;
        while (values_[column] != peak_) column++;
        return column;
    }

    const float* values() const { return values_.data(); }
    const int32_t* ids() const { return packed_ ? ids_.data() : nullptr; }

    // Logits by id, [whole]: what is not left is masked.
    void spread(float* to, long whole) const {
        if (!packed_) {
            std::memcpy(to, values_.data(), sizeof(float) * whole);
            return;
        }
        std::fill(to, to + whole, kMasked);
        for (long column = 0; column < count_; column++) to[ids_[column]] = values_[column];
    }

    static constexpr long kBlock = 16 * kLanes;

   private:
    void find_peak() {
        peak_ = kMasked;
        for (long block = 0; block < blocks(); block++) peak_ = std::max(peak_, peaks_[block]);
    }

    template <class Scale>
    void scale(Scale change) {
        for (long at = 0; at < blocks() * kBlock; at += kLanes)
            write(values_.data() + at, change(load_lane(values_.data() + at)));
        scaled(change);
    }

    // Rounding keeps the order, so that the greatest are still the greatest.
    template <class Scale>
    void scaled(Scale change) {
        for (long block = 0; block < blocks(); block++) peaks_[block] = change(peaks_[block]);
        peak_ = change(peak_);
        weighed_ = false;
    }

    template <class Stays>
    void mask(float least, Stays stays) {
        for (long block = 0; block < blocks(); block++) {
            float* own = values_.data() + block * kBlock;
            if (peaks_[block] < least) {
                if (peaks_[block] > kMasked) std::fill(own, own + kBlock, kMasked);
                peaks_[block] = kMasked;
                continue;
            }
            for (long at = 0; at < kBlock; at++) own[at] = stays(own[at]) ? own[at] : kMasked;
            peaks_[block] = greatest_in(own, kBlock);
        }
    }

    template <class Stays>
    void pack(float least, Stays stays) {
        long left = 0;
        for (long block = 0; block < blocks(); block++) {
            if (peaks_[block] < least) continue;
            for (long column = block * kBlock; column < std::min(count_, (block + 1) * kBlock); column++) {
                // Without a branch that nobody could foresee: what does not stay is written over.
                const float own = values_[column];
                const int32_t named = int32_t(id(column));
                values_[left] = own;
                ids_[left] = named;
                left += stays(own);
            }
        }
        finish_packing(left);
    }

    void finish_packing(long left) {
        packed_ = true;
        count_ = left;
        std::fill(values_.begin() + left, values_.begin() + blocks() * kBlock, kMasked);
        for (long block = 0; block < blocks(); block++) {
            peaks_[block] = greatest_in(values_.data() + block * kBlock, kBlock);
            dirty_[block] = 0;
        }
    }

    long count_ = 0;
    bool packed_ = false, all_numbers_ = true, weighed_ = false;
    float peak_ = kMasked;
    Moments moments_;
    Floats values_, other_, peaks_;
    std::vector<int32_t> ids_;
    std::vector<uint8_t> dirty_;
    MostLikely most_likely_;
};

}  // namespace plugtron
