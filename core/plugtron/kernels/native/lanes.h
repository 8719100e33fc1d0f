// Sixteen floats side by side, for any processor: compilers make of them what it has.
#pragma once

#include <cstdint>
#include <cstring>

#include "activations.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace plugtron {

typedef float Lane __attribute__((vector_size(64), aligned(64)));
typedef uint32_t LaneBits __attribute__((vector_size(64), aligned(64)));
typedef uint16_t LaneHalves __attribute__((vector_size(32), aligned(32)));

// Up to sixteen numbers of memory; what is beyond `count` is zero.
inline Lane load_lane(const float* from, int count) {
    Lane lane = {};
    if (count == kLanes)
        std::memcpy(&lane, from, sizeof(lane));
    else
        std::memcpy(&lane, from, sizeof(float) * count);
    return lane;
}

inline Lane load_lane(const uint16_t* from, int count) {
    LaneHalves halves = {};
    if (count == kLanes)
        std::memcpy(&halves, from, sizeof(halves));
    else
        std::memcpy(&halves, from, sizeof(uint16_t) * count);
#if defined(__AVX512F__)
    // One instruction, which compilers do not see in the general form.
    const LaneBits bits = reinterpret_cast<LaneBits>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(halves))) << 16;
#else
    const LaneBits bits = __builtin_convertvector(halves, LaneBits) << 16;
#endif
    Lane lane;
    std::memcpy(&lane, &bits, sizeof(lane));
    return lane;
}

inline Lane low_halves(Lane a, Lane b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

inline Lane high_halves(Lane a, Lane b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// Turn 16 × 16 numbers: four rounds of a perfect shuffle.
inline void transpose(Lane* rows) {
    Lane other[kLanes];
    for (int round = 0; round < 2; round++) {
        for (int at = 0; at < 8; at++) {
            other[2 * at] = low_halves(rows[at], rows[at + 8]);
            other[2 * at + 1] = high_halves(rows[at], rows[at + 8]);
        }
        for (int at = 0; at < 8; at++) {
            rows[2 * at] = low_halves(other[at], other[at + 8]);
            rows[2 * at + 1] = high_halves(other[at], other[at + 8]);
        }
    }
}

// The sum of a lane, always in the same order.
inline float sum_of(const Lane& lane) {
    float parts[kLanes];
    std::memcpy(parts, &lane, sizeof(parts));
    for (int width = 8; width > 0; width /= 2)
        for (int at = 0; at < width; at++) parts[at] += parts[at + width];
    return parts[0];
}

}  // namespace plugtron
