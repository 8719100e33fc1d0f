// A row as integers with one scale: plugtron.quantization.int8_rows for the kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "functions.h"

namespace plugtron {

// Round a row so that its largest number becomes `most`, or -most, and return what codes are to be multiplied with: NaN
// where a number is not finite.
template <class Code>
inline float round_row(const float* row, int width, float most, Code* codes) {
    Lane largest = {}, none = {};
    for (int at = 0; at < width; at += kLanes) {
        const Lane part = load_lane(row + at, width - at);
        largest = greater(largest, absolute(part));
        none = none + part * 0.0f;
    }
    const float top = greatest_of(largest);
    // What is smaller has no inverse in a float.
    const bool some = !(top < 1e-30f);
    const float scale = some ? top / most : 0.0f, inverse = some ? most / top : 0.0f;
    for (int at = 0; at < width; at += kLanes) {
        // The nearest integers are in the low bits of these.
        const Lane rounded = load_lane(row + at, width - at) * inverse + kRounder;
        int32_t bits[kLanes];
        std::memcpy(bits, &rounded, sizeof(rounded));
        Code own[kLanes];
        for (int lane = 0; lane < kLanes; lane++) own[lane] = static_cast<Code>(bits[lane]);
        std::memcpy(codes + at, own, sizeof(Code) * (width - at < kLanes ? width - at : kLanes));
    }
    return scale + sum_of(none);
}

}  // namespace plugtron
