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
    long column = 0;  // the first that has it, where all are numbers

    // Whether there is a greatest at all: not where everything is masked, or something is infinite.
    bool is_number() const { return all_numbers && std::abs(value) <= std::numeric_limits<float>::max(); }
};

// The greatest of whole lanes.
inline float greatest_in(const float* row, long count) {
    Lane highest = load_lane(row);
    for (long at = kLanes; at < count; at += kLanes) highest = greater(highest, load_lane(row + at));
    return greatest_of(highest);
}

// Whether one of them is NaN.
inline bool has_nan(const float* row, long count) {
    uint32_t strange = 0;
    for (long at = 0; at < count; at++) {
        uint32_t bits;
        std::memcpy(&bits, row + at, sizeof(bits));
        strange |= uint32_t((bits & 0x7fffffffu) > 0x7f800000u);
    }
    return strange;
}

inline Peak peak_of(const float* row, long count) {
    // What is looked at twice is still in the nearest cache.
    constexpr long kBlock = 64 * kLanes;
    Peak peak;
    for (long first = 0; first < count; first += kBlock) {
        const long here = count - first < kBlock ? count - first : kBlock, whole = here / kLanes * kLanes;
        const float* block = row + first;
        float highest = whole ? greatest_in(block, whole) : block[0];
        for (long at = whole; at < here; at++) highest = block[at] > highest ? block[at] : highest;
        if (highest > peak.value) {
            peak.value = highest;
            peak.column = first;
        }
        peak.all_numbers = peak.all_numbers && !has_nan(block, here);
    }
    if (peak.is_number())
        while (row[peak.column] != peak.value) peak.column++;
    return peak;
}

}  // namespace plugtron
