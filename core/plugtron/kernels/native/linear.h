// y = x Wᵀ for weights of 4 or 8 bits in groups of 32, and int8 activations.
//
// Weights are packed in blocks of 16 outputs × 32 inputs, in the order in which they are used: eight steps of 16 outputs
// × 4 inputs, then a float16 scale per output, then (4 bits) a float16 minimum. A value is q · scale + minimum with q
// from 0 to 15, or (q - 128) · scale with q from 0 to 255. Two steps of 4 bits share 64 bytes: the first has the low
// halves. Every row of x is added up in the same order, whatever rows are beside it.
#pragma once

#include <cstdint>

#include "activations.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define PLUGTRON_VNNI 1
#include <immintrin.h>
#endif

namespace plugtron {

constexpr int kLanes = 16;
constexpr int kSteps = 8;
constexpr int kTile = 8;

template <int BITS>
constexpr long group_bytes() {
    return BITS == 4 ? 4 * 64 + 64 : 8 * 64 + 32;
}

struct Linear {
    const uint8_t* packed;
    const float* bias;  // or null
    int inputs, outputs, bits;

    long blocks() const { return (outputs + kLanes - 1) / kLanes; }
};

#if PLUGTRON_VNNI

template <int BITS>
inline void load_steps(const uint8_t* at, __m512i* steps) {
    if constexpr (BITS == 4) {
        const __m512i low = _mm512_set1_epi8(15);
        for (int pair = 0; pair < 4; pair++) {
            const __m512i both = _mm512_loadu_si512(at + 64 * pair);
            steps[2 * pair] = _mm512_and_si512(both, low);
            steps[2 * pair + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
    } else {
        for (int step = 0; step < kSteps; step++) steps[step] = _mm512_loadu_si512(at + 64 * step);
    }
}

template <int BITS, int TILE>
inline void multiply_block(const uint8_t* at, const Quantised& x, long row, float (*output)[kLanes]) {
    const int groups = x.groups();
    __m512 total[TILE];
    for (int t = 0; t < TILE; t++) total[t] = _mm512_setzero_ps();
    for (int group = 0; group < groups; group++, at += group_bytes<BITS>()) {
        __m512i steps[kSteps];
        load_steps<BITS>(at, steps);
        const uint8_t* tail = at + (BITS == 4 ? 4 : 8) * 64;
        const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tail)));
        __m512 minimum = _mm512_setzero_ps();
        if constexpr (BITS == 4)
            minimum = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tail + 32)));
#pragma GCC unroll 8
        for (int t = 0; t < TILE; t++) {
            const long place = (row + t) * groups + group;
            const int32_t sum = x.sums[place];
            const float own = x.scales[place];
            const int32_t* values =
                reinterpret_cast<const int32_t*>(x.values + (row + t) * x.width + group * kGroup);
            __m512i dot = BITS == 4 ? _mm512_setzero_si512() : _mm512_set1_epi32(-128 * sum);
#pragma GCC unroll 8
            for (int step = 0; step < kSteps; step++)
                dot = _mm512_dpbusd_epi32(dot, steps[step], _mm512_set1_epi32(values[step]));
            const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), scale);
            total[t] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(own), total[t]);
            if constexpr (BITS == 4)
                total[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(own * static_cast<float>(sum)), total[t]);
        }
    }
    for (int t = 0; t < TILE; t++) _mm512_storeu_ps(output[t], total[t]);
}

#else

inline float half_to_float(const uint8_t* at) {
    uint16_t half;
    std::memcpy(&half, at, 2);
    const uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 1023u;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * static_cast<float>(fraction) * 5.9604644775390625e-8f;
    const uint32_t bits = sign | ((exponent == 31 ? 255u : exponent + 112u) << 23) | (fraction << 13);
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

template <int BITS, int TILE>
inline void multiply_block(const uint8_t* at, const Quantised& x, long row, float (*output)[kLanes]) {
    const int groups = x.groups();
    for (int t = 0; t < TILE; t++)
        for (int lane = 0; lane < kLanes; lane++) output[t][lane] = 0.0f;
    for (int group = 0; group < groups; group++, at += group_bytes<BITS>()) {
        const uint8_t* tail = at + (BITS == 4 ? 4 : 8) * 64;
        for (int t = 0; t < TILE; t++) {
            const long place = (row + t) * groups + group;
            const int8_t* values = x.values + (row + t) * x.width + group * kGroup;
            int32_t dot[kLanes] = {};
            for (int step = 0; step < kSteps; step++)
                for (int lane = 0; lane < kLanes; lane++)
                    for (int k = 0; k < 4; k++) {
                        int32_t weight;
                        if (BITS == 4)
                            weight = (at[64 * (step / 2) + 4 * lane + k] >> (4 * (step & 1))) & 15;
                        else
                            weight = at[64 * step + 4 * lane + k] - 128;
                        dot[lane] += weight * values[4 * step + k];
                    }
            const float own = x.scales[place], sum = own * static_cast<float>(x.sums[place]);
            for (int lane = 0; lane < kLanes; lane++) {
                output[t][lane] += static_cast<float>(dot[lane]) * half_to_float(tail + 2 * lane) * own;
                if (BITS == 4) output[t][lane] += half_to_float(tail + 32 + 2 * lane) * sum;
            }
        }
    }
}

#endif

template <int BITS>
inline void multiply_tile(const uint8_t* at, const Quantised& x, long row, int rows, float (*output)[kLanes]) {
    switch (rows) {
        case 1: return multiply_block<BITS, 1>(at, x, row, output);
        case 2: return multiply_block<BITS, 2>(at, x, row, output);
        case 3: return multiply_block<BITS, 3>(at, x, row, output);
        case 4: return multiply_block<BITS, 4>(at, x, row, output);
        case 5: return multiply_block<BITS, 5>(at, x, row, output);
        case 6: return multiply_block<BITS, 6>(at, x, row, output);
        case 7: return multiply_block<BITS, 7>(at, x, row, output);
        default: return multiply_block<BITS, kTile>(at, x, row, output);
    }
}

// Blocks [begin, end) of a layer for `rows` rows; `add` to what is there (the residual), or replace it.
inline void multiply(const Linear& layer, const Quantised& x, int rows, float* y, bool add, long begin, long end) {
    const long bytes = (layer.inputs / kGroup) * (layer.bits == 4 ? group_bytes<4>() : group_bytes<8>());
    float tile[kTile][kLanes];
    for (long block = begin; block < end; block++) {
        const uint8_t* at = layer.packed + block * bytes;
        const int lanes = static_cast<int>(std::min<long>(kLanes, layer.outputs - block * kLanes));
        for (long row = 0; row < rows; row += kTile) {
            const int count = static_cast<int>(std::min<long>(kTile, rows - row));
            if (layer.bits == 4)
                multiply_tile<4>(at, x, row, count, tile);
            else
                multiply_tile<8>(at, x, row, count, tile);
            for (int t = 0; t < count; t++) {
                float* target = y + (row + t) * layer.outputs + block * kLanes;
                const float* bias = layer.bias ? layer.bias + block * kLanes : nullptr;
                for (int lane = 0; lane < lanes; lane++) {
                    float value = tile[t][lane] + (bias ? bias[lane] : 0.0f);
                    target[lane] = add ? target[lane] + value : value;
                }
            }
        }
    }
}

}  // namespace plugtron
