// A row of logits with edits laid over a few of them, for draws of the most likely: nothing is copied.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "candidate_row.h"

namespace plugtron {

class LaidRow {
   public:
    void load(const float* logits, long count) {
        logits_ = logits;
        count_ = count;
        if (long(stamps_.size()) < count) {
            stamps_.assign(count, 0);
            values_.resize(count);
            stamp_ = 0;
        }
        if (++stamp_ == 0) {
            std::fill(stamps_.begin(), stamps_.end(), 0);
            stamp_ = 1;
        }
        edited_.clear();
        blocks_.assign((count + kBlock - 1) / kBlock, 0);
    }

    // The logit of an id, to be read or written; null where it is no candidate.
    float* find(int64_t id) {
        if (id < 0 || id >= count_) return nullptr;
        if (stamps_[id] != stamp_) {
            stamps_[id] = stamp_;
            values_[id] = logits_[id];
            edited_.push_back(id);
            blocks_[id / kBlock] = 1;
        }
        return values_.data() + id;
    }

    // The first id with the greatest logit; kUnsure where a logit is no number, or none can be drawn.
    static constexpr long kUnsure = -3;
    long most_likely() {
        if (!find_peaks()) return kUnsure;
        best_ = kMasked;
        id_ = count_;
        for (const int64_t id : edited_) {
            if (values_[id] != values_[id]) return kUnsure;
            offer(values_[id], id);
        }
        // Blocks without edits first: few of the others have anything that is as likely.
        for (int edits = 0; edits < 2; edits++)
            for (long block = 0; block < long(blocks_.size()); block++)
                if (blocks_[block] == edits && peaks_[block] >= best_) look_into(block);
        return std::abs(best_) <= std::numeric_limits<float>::max() ? id_ : kUnsure;
    }

   private:
    static constexpr long kBlock = CandidateRow::kBlock;

    void offer(float value, long id) {
        if (value > best_ || (value == best_ && id < id_)) {
            best_ = value;
            id_ = id;
        }
    }

    void look_into(long block) {
        const long end = std::min(count_, (block + 1) * kBlock);
        for (long id = block * kBlock; id < end; id++)
            if (stamps_[id] != stamp_) offer(logits_[id], id);
    }

    // The greatest logit of each block as it was; false: a logit is NaN.
    bool find_peaks() {
        peaks_.resize(blocks_.size());
        Lane noted = lane_of(0.0f);
        for (long block = 0; block < long(blocks_.size()); block++) {
            Lane most = lane_of(kMasked);
            const long end = std::min(count_, (block + 1) * kBlock);
            long at = block * kBlock;
            for (; at + kLanes <= end; at += kLanes) {
                const Lane some = load_lane(logits_ + at);
                most = greater(most, some);
                noted = note_nan(noted, some);
            }
            float peak = greatest_of(most);
            for (; at < end; at++) {
                if (logits_[at] != logits_[at]) return false;
                peak = std::max(peak, logits_[at]);
            }
            peaks_[block] = peak;
        }
        return greatest_of(noted) <= 0.0f;
    }

    const float* logits_ = nullptr;
    long count_ = 0, id_ = 0;
    float best_ = kMasked;
    uint32_t stamp_ = 0;
    std::vector<uint32_t> stamps_;  // of ids: which row has edited them last
    Floats values_, peaks_;
    std::vector<int64_t> edited_;
    std::vector<uint8_t> blocks_;  // whether one has edits
};

}  // namespace plugtron
