// y = x Wᵀ for weights of 4 or 8 bits in groups, and int8 activations.
//
// Weights are packed in blocks of 16 outputs × 32 inputs, in the order in which they are used: eight steps of 16 outputs
// × 4 inputs, then a scale per output, then a minimum. Two steps of 4 bits share 64 bytes: the first has the low halves.
// A value is q · scale + minimum, or (q - 128) · scale where there is no minimum; plugtron.contracts.quantised has the
// formats. Every row of x is added up in the same order, whatever rows are beside it.
#pragma once

#include <cstdint>

#include "activations.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define PLUGTRON_VNNI 1
#include <immintrin.h>
#endif

namespace plugtron {

constexpr int kSteps = 8;

// Those of plugtron.contracts.quantised.WeightFormat. Wide ones have float32 scales, halves two of them for 32 inputs.
enum Format : int32_t { kFour, kFourWide, kEight, kEightWide, kEightHalves };

template <int FORMAT>
struct Traits {
    static constexpr bool four = FORMAT == kFour || FORMAT == kFourWide;
    static constexpr bool wide = FORMAT == kFourWide || FORMAT == kEightWide || FORMAT == kEightHalves;
    static constexpr bool halves = FORMAT == kEightHalves;
    static constexpr bool minimum = four || FORMAT == kEightWide;
    static constexpr long values = four ? 4 * 64 : 8 * 64;
    static constexpr long numbers = kLanes * (wide ? 4 : 2);  // bytes of sixteen scales
    static constexpr long bytes = values + numbers * (minimum || halves ? 2 : 1);
};

struct Linear {
    const uint8_t* packed;
    const float* bias;  // or null
    int inputs, outputs, format;
    int stride, offset;  // how wide a row of y is, and where in it the outputs begin

    long blocks() const { return (outputs + kLanes - 1) / kLanes; }
};

#if PLUGTRON_VNNI

template <int FORMAT>
inline void load_steps(const uint8_t* at, __m512i* steps) {
    if constexpr (Traits<FORMAT>::four) {
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

template <int FORMAT>
inline __m512 load_numbers(const uint8_t* at) {
    if constexpr (Traits<FORMAT>::wide) return _mm512_loadu_ps(at);
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

// Add one group, or half of one, of TILE rows to their totals. `offsets` is what minimums are multiplied with.
template <int TILE, int STEPS>
inline void add_group(
    const __m512i* steps, const int8_t* values, __m512 scale, __m512 minimum, const float* scales, const float* offsets,
    __m512* total) {
    // All rows for one step before the next: the sums of a row wait for each other.
    __m512i dots[TILE];
    for (int t = 0; t < TILE; t++) dots[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int step = 0; step < STEPS; step++)
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
}

// One block of weights with the first TILE rows of a tile.
template <int FORMAT, int TILE>
inline void multiply_block(const uint8_t* at, const Quantised& x, long tile, float (*output)[kLanes]) {
    using Own = Traits<FORMAT>;
    const int groups = x.groups();
    const __m512 shift = _mm512_set1_ps(-128.0f);
    __m512 total[TILE];
    for (int t = 0; t < TILE; t++) total[t] = _mm512_setzero_ps();
    for (int group = 0; group < groups; group++, at += Own::bytes) {
        const long place = x.place(tile * kTile, group);
        const int8_t* values = x.values + place * kGroup;
        const float* scales = x.scales + place;
        const float* offsets = x.offsets + place;
        __m512i steps[kSteps];
        load_steps<FORMAT>(at, steps);
        const __m512 scale = load_numbers<FORMAT>(at + Own::values);
        if constexpr (Own::halves) {
            const __m512 second = load_numbers<FORMAT>(at + Own::values + Own::numbers);
            float rest[TILE];
            for (int t = 0; t < TILE; t++) rest[t] = offsets[t] - x.halves[place + t];
            add_group<TILE, kSteps / 2>(
                steps, values, scale, _mm512_mul_ps(scale, shift), scales, x.halves + place, total);
            add_group<TILE, kSteps / 2>(
                steps + kSteps / 2, values + kGroup / 2, second, _mm512_mul_ps(second, shift), scales, rest, total);
        } else {
            const __m512 minimum = Own::minimum ? load_numbers<FORMAT>(at + Own::values + Own::numbers)
                                                : _mm512_mul_ps(scale, shift);
            add_group<TILE, kSteps>(steps, values, scale, minimum, scales, offsets, total);
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

template <int FORMAT>
inline float number(const uint8_t* at, int index) {
    if constexpr (!Traits<FORMAT>::wide) return half_to_float(at + 2 * index);
    float value;
    std::memcpy(&value, at + 4 * index, 4);
    return value;
}

template <int FORMAT, int TILE>
inline void multiply_block(const uint8_t* at, const Quantised& x, long tile, float (*output)[kLanes]) {
    using Own = Traits<FORMAT>;
    constexpr int parts = Own::halves ? 2 : 1, steps = kSteps / parts;
    for (int t = 0; t < TILE; t++)
        for (int lane = 0; lane < kLanes; lane++) output[t][lane] = 0.0f;
    for (int group = 0; group < x.groups(); group++, at += Own::bytes)
        for (int t = 0; t < TILE; t++) {
            const long place = x.place(tile * kTile + t, group);
            const int8_t* values = x.values + place * kGroup;
            for (int part = 0; part < parts; part++) {
                int32_t dot[kLanes] = {};
                for (int step = part * steps; step < (part + 1) * steps; step++)
                    for (int lane = 0; lane < kLanes; lane++)
                        for (int k = 0; k < 4; k++) {
                            int32_t weight;
                            if (Own::four)
                                weight = (at[64 * (step / 2) + 4 * lane + k] >> (4 * (step & 1))) & 15;
                            else
                                weight = at[64 * step + 4 * lane + k];
                            dot[lane] += weight * values[4 * step + k];
                        }
                const uint8_t* tail = at + Own::values + part * Own::numbers;
                float offset = x.offsets[place];
                if (Own::halves) offset = part ? offset - x.halves[place] : x.halves[place];
                for (int lane = 0; lane < kLanes; lane++) {
                    const float scale = number<FORMAT>(tail, lane);
                    const float minimum = Own::minimum ? number<FORMAT>(tail + Own::numbers, lane) : scale * -128.0f;
                    output[t][lane] += static_cast<float>(dot[lane]) * scale * x.scales[place];
                    output[t][lane] += minimum * offset;
                }
            }
        }
}

#endif

template <int FORMAT>
inline void multiply_tile(const uint8_t* at, const Quantised& x, long tile, int rows, float (*output)[kLanes]) {
    switch (rows) {
        case 1: return multiply_block<FORMAT, 1>(at, x, tile, output);
        case 2: return multiply_block<FORMAT, 2>(at, x, tile, output);
        case 3: return multiply_block<FORMAT, 3>(at, x, tile, output);
        case 4: return multiply_block<FORMAT, 4>(at, x, tile, output);
        case 5: return multiply_block<FORMAT, 5>(at, x, tile, output);
        case 6: return multiply_block<FORMAT, 6>(at, x, tile, output);
        case 7: return multiply_block<FORMAT, 7>(at, x, tile, output);
        default: return multiply_block<FORMAT, kTile>(at, x, tile, output);
    }
}

// Blocks [begin, end) of a layer for `rows` rows; `add` to what is there (the residual), or replace it.
template <int FORMAT>
inline void multiply_in(const Linear& layer, const Quantised& x, int rows, float* y, bool add, long begin, long end) {
    const long bytes = (layer.inputs / kGroup) * Traits<FORMAT>::bytes;
    float tile[kTile][kLanes];
    for (long block = begin; block < end; block++) {
        const uint8_t* at = layer.packed + block * bytes;
        const int lanes = static_cast<int>(std::min<long>(kLanes, layer.outputs - block * kLanes));
        const float* bias = layer.bias ? layer.bias + block * kLanes : nullptr;
        for (long row = 0; row < rows; row += kTile) {
            const int count = static_cast<int>(std::min<long>(kTile, rows - row));
            multiply_tile<FORMAT>(at, x, row / kTile, count, tile);
            for (int t = 0; t < count; t++) {
                float* target = y + (row + t) * layer.stride + layer.offset + block * kLanes;
                for (int lane = 0; lane < lanes; lane++) {
                    float value = tile[t][lane] + (bias ? bias[lane] : 0.0f);
                    target[lane] = add ? target[lane] + value : value;
                }
            }
        }
    }
}

inline void multiply(const Linear& layer, const Quantised& x, int rows, float* y, bool add, long begin, long end) {
    switch (layer.format) {
        case kFour: return multiply_in<kFour>(layer, x, rows, y, add, begin, end);
        case kFourWide: return multiply_in<kFourWide>(layer, x, rows, y, add, begin, end);
        case kEight: return multiply_in<kEight>(layer, x, rows, y, add, begin, end);
        case kEightWide: return multiply_in<kEightWide>(layer, x, rows, y, add, begin, end);
        default: return multiply_in<kEightHalves>(layer, x, rows, y, add, begin, end);
    }
}

}  // namespace plugtron
