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

constexpr int kSteps = 8;

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

// One block of weights with the first TILE rows of a tile.
template <int BITS, int TILE>
inline void multiply_block(const uint8_t* at, const Quantised& x, long tile, float (*output)[kLanes]) {
    const int groups = x.groups();
    const int8_t* values = x.values + tile * groups * kTile * kGroup;
    const float* scales = x.scales + tile * groups * kTile;
    const float* offsets = x.offsets + tile * groups * kTile;
    __m512 total[TILE];
    for (int t = 0; t < TILE; t++) total[t] = _mm512_setzero_ps();
    for (int group = 0; group < groups; group++) {
        __m512i steps[kSteps];
        load_steps<BITS>(at, steps);
        const uint8_t* tail = at + (BITS == 4 ? 4 : 8) * 64;
        const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tail)));
        __m512 minimum;
        if constexpr (BITS == 4)
            minimum = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tail + 32)));
        else
            minimum = _mm512_mul_ps(scale, _mm512_set1_ps(-128.0f));
        // All rows for one step before the next: the sums of a row wait for each other.
        __m512i dots[TILE];
        for (int t = 0; t < TILE; t++) dots[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int step = 0; step < kSteps; step++)
#pragma GCC unroll 8
            for (int t = 0; t < TILE; t++) {
                int32_t four;
                std::memcpy(&four, values + t * kGroup + 4 * step, 4);
                dots[t] = _mm512_dpbusd_epi32(dots[t], steps[step], _mm512_set1_epi32(four));
            }
#pragma GCC unroll 8
        for (int t = 0; t < TILE; t++) {
            const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[t]), scale);
            total[t] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(scales[t]), total[t]);
            total[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(offsets[t]), total[t]);
        }
        at += group_bytes<BITS>();
        values += kTile * kGroup;
        scales += kTile;
        offsets += kTile;
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
inline void multiply_block(const uint8_t* at, const Quantised& x, long tile, float (*output)[kLanes]) {
    for (int t = 0; t < TILE; t++)
        for (int lane = 0; lane < kLanes; lane++) output[t][lane] = 0.0f;
    for (int group = 0; group < x.groups(); group++, at += group_bytes<BITS>()) {
        const uint8_t* tail = at + (BITS == 4 ? 4 : 8) * 64;
        for (int t = 0; t < TILE; t++) {
            const long place = x.place(tile * kTile + t, group);
            const int8_t* values = x.values + place * kGroup;
            int32_t dot[kLanes] = {};
            for (int step = 0; step < kSteps; step++)
                for (int lane = 0; lane < kLanes; lane++)
                    for (int k = 0; k < 4; k++) {
                        int32_t weight;
                        if (BITS == 4)
                            weight = (at[64 * (step / 2) + 4 * lane + k] >> (4 * (step & 1))) & 15;
                        else
                            weight = at[64 * step + 4 * lane + k];
                        dot[lane] += weight * values[4 * step + k];
                    }
            for (int lane = 0; lane < kLanes; lane++) {
                const float scale = half_to_float(tail + 2 * lane);
                const float minimum = BITS == 4 ? half_to_float(tail + 32 + 2 * lane) : scale * -128.0f;
                output[t][lane] += static_cast<float>(dot[lane]) * scale * x.scales[place];
                output[t][lane] += minimum * x.offsets[place];
            }
        }
    }
}

#endif

template <int BITS>
inline void multiply_tile(const uint8_t* at, const Quantised& x, long tile, int rows, float (*output)[kLanes]) {
    switch (rows) {
        case 1: return multiply_block<BITS, 1>(at, x, tile, output);
        case 2: return multiply_block<BITS, 2>(at, x, tile, output);
        case 3: return multiply_block<BITS, 3>(at, x, tile, output);
        case 4: return multiply_block<BITS, 4>(at, x, tile, output);
        case 5: return multiply_block<BITS, 5>(at, x, tile, output);
        case 6: return multiply_block<BITS, 6>(at, x, tile, output);
        case 7: return multiply_block<BITS, 7>(at, x, tile, output);
        default: return multiply_block<BITS, kTile>(at, x, tile, output);
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
                multiply_tile<4>(at, x, row / kTile, count, tile);
            else
                multiply_tile<8>(at, x, row / kTile, count, tile);
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
