// The scales and minimums of a block of weights in groups, sixteen outputs at a time.
#pragma once

#include "lanes.h"

namespace plugtron {

constexpr int kSteps = 8;
constexpr int kSuper = 256;  // inputs that share factors

// Those of packing.WeightFormat. Wide ones have float32 scales, halves two of them for 32 inputs, powers a byte for each;
// codes are bytes that a factor is multiplied with.
enum Format : int32_t {
    kInt4, kInt4F32Scales, kInt8, kInt8F32Scales, kInt8G16, kMxfp4, kInt5, kInt5Minimum, kInt4Codes, kInt5Codes,
    kInt6Codes, kF32, kBf16,
};

template <int FORMAT>
struct Traits {
    static constexpr bool powers = FORMAT == kMxfp4;
    static constexpr bool codes = FORMAT == kInt4Codes || FORMAT == kInt5Codes || FORMAT == kInt6Codes;
    static constexpr bool five = FORMAT == kInt5 || FORMAT == kInt5Minimum || FORMAT == kInt5Codes;
    static constexpr bool six = FORMAT == kInt6Codes;
    static constexpr bool four = FORMAT == kInt4 || FORMAT == kInt4F32Scales || FORMAT == kInt4Codes || powers;
    static constexpr bool eight = !four && !five && !six;
    static constexpr bool wide = FORMAT == kInt4F32Scales || FORMAT == kInt8F32Scales || FORMAT == kInt8G16;
    static constexpr bool halves = FORMAT == kInt8G16 || FORMAT == kInt6Codes;
    static constexpr bool minimum = FORMAT == kInt4 || FORMAT == kInt4F32Scales || FORMAT == kInt8F32Scales ||
                                    FORMAT == kInt5Minimum || FORMAT == kInt4Codes || FORMAT == kInt5Codes;
    // What has been added to a weight without a minimum is 128 shifted by so much.
    static constexpr int shift = five ? 3 : six ? 2 : 0;
    static constexpr long low = (eight ? 8 : 4) * 64, high = five ? 64 : six ? 128 : 0;
    static constexpr long values = low + high;
    static constexpr long numbers = kLanes * (powers || codes ? 1 : wide ? 4 : 2);  // bytes of sixteen scales
    static constexpr long bytes = values + numbers * (minimum || halves ? 2 : 1);

    static long factors(int inputs) { return codes ? inputs / kSuper * 2L * kLanes : 0; }

    static long block_bytes(int inputs) { return inputs / 32 * bytes + factors(inputs) * (minimum ? 2 : 1); }
};

// Reads them group by group.
template <int FORMAT>
class Numbers {
   public:
    using Own = Traits<FORMAT>;

    // `at`: the block.
    Numbers(const uint8_t* at, int inputs)
        : factors_(at + inputs / 32 * Own::bytes), minimums_(factors_ + Own::factors(inputs)) {}

    // Be at a group: before anything of it is read.
    PLUGTRON_INLINE void enter(int group) {
        if constexpr (Own::codes)
            if (group % (kSuper / 32) == 0) {
                const long place = group / (kSuper / 32) * 2L * kLanes;
                factor_ = load_halves(factors_ + place);
                if constexpr (Own::minimum) minimum_factor_ = load_halves(minimums_ + place);
            }
    }

    // Scales of a group whose values end at `tail`, or of its second half.
    PLUGTRON_INLINE Lane scale(const uint8_t* tail, bool second = false) const {
        const uint8_t* at = tail + (second ? Own::numbers : 0);
        if constexpr (Own::codes) return load_lane(reinterpret_cast<const int8_t*>(at)) * factor_;
        return stored(at);
    }

    PLUGTRON_INLINE Lane minimum(const uint8_t* tail) const {
        if constexpr (Own::codes) return load_lane(reinterpret_cast<const int8_t*>(tail + Own::numbers)) * minimum_factor_ * -1.0f;
        return stored(tail + Own::numbers);
    }

   private:
    PLUGTRON_INLINE static Lane stored(const uint8_t* at) {
        if constexpr (Own::powers) return load_half_powers(at);
        if constexpr (Own::wide) return load_lane(reinterpret_cast<const float*>(at));
        return load_halves(at);
    }

    const uint8_t* factors_;
    const uint8_t* minimums_;
    Lane factor_{}, minimum_factor_{};
};

}  // namespace plugtron
