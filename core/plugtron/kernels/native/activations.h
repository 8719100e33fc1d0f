// Numbers of a step: floats for what is added up, and int8 in groups of 32 for what is multiplied with weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace plugtron {

constexpr int kGroup = 32;
constexpr int kTile = 8;    // rows that are multiplied together
constexpr int kLanes = 16;  // numbers that are computed side by side

// The greater and the smaller of two. Unlike std::fmax these are one instruction, and what is not a number stays so.
inline float greater(float a, float b) { return a < b ? b : a; }
inline float smaller(float a, float b) { return a > b ? b : a; }

// Rows of `width` numbers as int8 with a scale per group of 32. Rows lie in tiles of eight, a tile group by group, so
// that what is used together is side by side. `offsets` are a group's sum times its scale: what the minimum of a group of
// weights is multiplied with; `halves` the same of its first sixteen numbers.
struct Quantised {
    int width;
    int8_t* values;
    float* scales;
    float* offsets;
    float* halves;

    int groups() const { return width / kGroup; }

    // Where a group of a row is, in groups.
    long place(long row, int group) const { return ((row / kTile) * groups() + group) * kTile + row % kTile; }

    // Quantise one group of one row.
    void put(long row, int group, const float* source) const {
        // Side by side first: compilers do not do that to a maximum by themselves.
        float sizes[kLanes];
        for (int at = 0; at < kLanes; at++) sizes[at] = greater(std::fabs(source[at]), std::fabs(source[at + kLanes]));
        for (int width = kLanes / 2; width > 0; width /= 2)
            for (int at = 0; at < width; at++) sizes[at] = greater(sizes[at], sizes[at + width]);
        const float largest = sizes[0];
        const float scale = largest / 127.0f, inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
        const long to = place(row, group);
        int8_t* target = values + to * kGroup;
        int32_t sums[2] = {};
        for (int half = 0; half < 2; half++)
            for (int at = half * kGroup / 2; at < (half + 1) * kGroup / 2; at++) {
                const int32_t value = static_cast<int32_t>(std::nearbyint(source[at] * inverse));
                target[at] = static_cast<int8_t>(value);
                sums[half] += value;
            }
        scales[to] = scale;
        offsets[to] = scale * static_cast<float>(sums[0] + sums[1]);
        halves[to] = scale * static_cast<float>(sums[0]);
    }

    void put_row(long row, const float* source) const {
        for (int group = 0; group < groups(); group++) put(row, group, source + group * kGroup);
    }
};

inline float bf16_to_float(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline uint16_t float_to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // NaN stays NaN
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// e^x to float precision, in operations that compilers vectorise (range reduction and the polynomial of Cephes' expf).
inline float exponential(float x) {
    x = smaller(greater(x, -87.0f), 88.0f);
    const float n = std::nearbyint(x * 1.44269504088896341f);
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, 4);
    return p * power;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// In the order of plugtron.execution.lowering's list.
enum Activation { kSilu, kGelu, kGeluTanh, kGeluQuick, kRelu, kReluSquared, kTanh };

template <int KIND>
inline float activate(float x) {
    if constexpr (KIND == kSilu) return x * sigmoid(x);
    if constexpr (KIND == kGelu) return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f));
    if constexpr (KIND == kGeluTanh) {
        const float inner = 0.79788456080286536f * (x + 0.044715f * x * x * x);
        return x * sigmoid(2.0f * inner);  // 0.5 (1 + tanh(y)) = sigmoid(2 y)
    }
    if constexpr (KIND == kGeluQuick) return x * sigmoid(1.702f * x);
    if constexpr (KIND == kRelu) return greater(x, 0.0f);
    if constexpr (KIND == kReluSquared) return x > 0.0f ? x * x : 0.0f;
    if constexpr (KIND == kTanh) return 2.0f * sigmoid(2.0f * x) - 1.0f;
    return x;
}

}  // namespace plugtron
