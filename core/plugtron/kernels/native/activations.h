// What linear layers multiply with weights: rows of int8 in groups of 32, or rows of floats.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "functions.h"
#include "sums.h"

#if defined(__AVX512BF16__) && PLUGTRON_VNNI
#define PLUGTRON_BF16 1
#endif

namespace plugtron {

constexpr int kGroup = 32;
constexpr int kTile = 8;  // rows that lie together

// Rows of `width` numbers as int8 with a scale per group of 32. Rows lie in tiles of eight, a tile group by group, so
// that what is used together is side by side. `offsets` are a group's sum times its scale: what the minimum of a group of
// weights is multiplied with. `shifts` are -128 times the sum, which the 128 that is added to weights without a minimum
// comes to; `half_shifts` the same of a group's first sixteen numbers.
struct Quantized {
    int width;
    int8_t* values;
    float* scales;
    float* offsets;
    int32_t* shifts;
    int32_t* half_shifts;

    int groups() const { return width / kGroup; }

    // Where a group of a row is, in groups.
    long place(long row, int group) const { return ((row / kTile) * groups() + group) * kTile + row % kTile; }

    // Quantize one group of one row.
    void put(long row, int group, Lane low, Lane high) const {
        const float largest = greatest_of(greater(absolute(low), absolute(high)));
        // What is smaller has no inverse in a float, and is nothing beside what else there is.
        const bool some = !(largest < 1e-30f);
        const float scale = some ? largest / 127.0f : 0.0f, inverse = some ? 127.0f / largest : 0.0f;
        const long to = place(row, group);
        // The nearest integers are in the low bits of these.
        const Lane first = low * inverse + kRounder, second = high * inverse + kRounder;
        int32_t bits[kGroup];
        std::memcpy(bits, &first, sizeof(first));
        std::memcpy(bits + kLanes, &second, sizeof(second));
        int8_t* target = values + to * kGroup;
        for (int at = 0; at < kGroup; at++) target[at] = static_cast<int8_t>(bits[at]);
        // Sums of integers, exact whatever their order.
        const float sum = sum_of(first - kRounder), whole = sum + sum_of(second - kRounder);
        scales[to] = scale;
        offsets[to] = scale * whole;
        shifts[to] = static_cast<int32_t>(whole * -128.0f);
        half_shifts[to] = static_cast<int32_t>(sum * -128.0f);
    }
};

inline uint16_t float_to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // NaN stays NaN
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Rows for weights in float32 or bfloat16: floats, each row followed by zeros up to `stride`. Processors that multiply
// bfloat16 themselves find them in `halves` as well.
struct Dense {
    int width, stride;
    float* values;
    uint16_t* halves;

    static int padded(int width) { return (width + kLanes - 1) / kLanes * kLanes; }

    void put(long row, int column, Lane numbers) const {
        write(values + row * stride + column, numbers);
#if PLUGTRON_BF16
        float own[kLanes];
        write(own, numbers);
        for (int at = 0; at < kLanes; at++) halves[row * stride + column + at] = float_to_bf16(own[at]);
#endif
    }
};

}  // namespace plugtron
