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
    Lane noted = lane_of(0.0f);
    for (long at = 0; at < count; at += kLanes) noted = note_nan(noted, load_lane(row + at, int(count - at)));
    return greatest_of(noted) > 0.0f;
}

inline Peak peak_of(const float* row, long count) {
    // What is looked at twice is still in the nearest cache.
    constexpr long kBlock = 64 * kLanes;
    Peak peak;
    for (long first = 0; first < count; first += kBlock) {
        const long here = count - first < kBlock ? count - first : kBlock, whole = here / kLanes * kLanes;
        const float* block = row + first;
        Lane most = lane_of(peak.value), noted = lane_of(0.0f);
        for (long at = 0; at < whole; at += kLanes) {
            const Lane own = load_lane(block + at);
            most = greater(most, own);
            noted = note_nan(noted, own);
        }
        float highest = greatest_of(most);
        for (long at = whole; at < here; at++) highest = block[at] > highest ? block[at] : highest;
        if (highest > peak.value) {
            peak.value = highest;
            peak.column = first;
        }
        if (greatest_of(noted) > 0.0f || (whole < here && has_nan(block + whole, here - whole))) peak.all_numbers = false;
    }
    if (peak.is_number())
        while (row[peak.column] != peak.value) peak.column++;
    return peak;
}

}  // namespace plugtron
