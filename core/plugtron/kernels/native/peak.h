// The greatest of a row of logits, and whether all of them are numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "lanes.h"

namespace plugtron {

struct Peak {
    float value = -std::numeric_limits<float>::infinity();
    bool all_numbers = true;

    // Whether there is a greatest at all: not where everything is masked, or something is infinite.
    bool is_number() const { return all_numbers && std::abs(value) <= std::numeric_limits<float>::max(); }
};

inline Peak peak_of(const float* row, long count) {
    Peak peak;
    const long whole = count / kLanes * kLanes;
    Lane highest = lane_of(peak.value);
    for (long at = 0; at < whole; at += kLanes) highest = greater(highest, load_lane(row + at));
    peak.value = greatest_of(highest);
    for (long at = whole; at < count; at++) peak.value = row[at] > peak.value ? row[at] : peak.value;
    uint32_t strange = 0;
    for (long at = 0; at < count; at++) {
        uint32_t bits;
        std::memcpy(&bits, row + at, sizeof(bits));
        strange |= uint32_t((bits & 0x7fffffffu) > 0x7f800000u);
    }
    peak.all_numbers = !strange;
    return peak;
}

}  // namespace plugtron
