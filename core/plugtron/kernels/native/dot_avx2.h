// Products with weights in groups on processors with AVX2: eight outputs × 4 inputs an instruction, in 16 bits.
#pragma once

#include "activations.h"

namespace plugtron {

template <int FORMAT, class Operand>
struct Dot;

template <int FORMAT>
struct Dot<FORMAT, Quantized> {
    using Own = Traits<FORMAT>;
    static constexpr int kRows = 4;  // two sums each, of sixteen registers

    static long block_bytes(int inputs) { return inputs / kGroup * Own::bytes; }

    static __m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

    static Lane load_numbers(const uint8_t* at) {
        if constexpr (Own::powers) return load_half_powers(at);
        if constexpr (Own::wide) return load_lane(reinterpret_cast<const float*>(at));
        const __m128i* halves = reinterpret_cast<const __m128i*>(at);
        return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
    }

    static __m256i four_inputs(const int8_t* values) {
        int32_t four;
        std::memcpy(&four, values, 4);
        return _mm256_set1_epi32(four);
    }

    // A product of unsigned and signed bytes: signs of weights that have one go over to the activations.
    static __m256i add_products(__m256i sums, __m256i weights, __m256i x) {
        if constexpr (Own::powers) {
            x = _mm256_sign_epi8(x, weights);
            weights = _mm256_abs_epi8(weights);
        }
        return _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, x));
    }

    // A group's products: eight sums of at most 2 · 15 · 127 fit 16 bits.
    template <int TILE>
    static void four_bits(const uint8_t* at, const int8_t* values, Pair<__m256i>* dots) {
        const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
        const __m256i numbers = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(kTwiceE2m1)));
        for (int t = 0; t < TILE; t++) dots[t] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 4
        for (int pair = 0; pair < kSteps / 2; pair++) {
            const __m256i first = load(at + 64 * pair), second = load(at + 64 * pair + 32);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                __m256i a = _mm256_and_si256(half ? _mm256_srli_epi16(first, 4) : first, low);
                __m256i b = _mm256_and_si256(half ? _mm256_srli_epi16(second, 4) : second, low);
                if constexpr (Own::powers) {
                    a = _mm256_shuffle_epi8(numbers, a);
                    b = _mm256_shuffle_epi8(numbers, b);
                }
#pragma GCC unroll 4
                for (int t = 0; t < TILE; t++) {
                    const __m256i x = four_inputs(values + t * kGroup + 8 * pair + 4 * half);
                    dots[t].low = add_products(dots[t].low, a, x);
                    dots[t].high = add_products(dots[t].high, b, x);
                }
            }
        }
        for (int t = 0; t < TILE; t++) {
            dots[t].low = _mm256_madd_epi16(dots[t].low, ones);
            dots[t].high = _mm256_madd_epi16(dots[t].high, ones);
        }
    }

    // STEPS steps of 8 bits. Weights become signed, and their signs go over to the activations: two products of at most
    // 128 · 127 fit 16 bits.
    template <int TILE, int STEPS>
    static void eight_bits(const uint8_t* at, const int8_t* values, Pair<__m256i>* dots) {
        const __m256i shift = _mm256_set1_epi8(-128), ones = _mm256_set1_epi16(1);
        for (int t = 0; t < TILE; t++) dots[t] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 8
        for (int step = 0; step < STEPS; step++) {
            const __m256i a = _mm256_xor_si256(load(at + 64 * step), shift);
            const __m256i b = _mm256_xor_si256(load(at + 64 * step + 32), shift);
            const __m256i size_a = _mm256_abs_epi8(a), size_b = _mm256_abs_epi8(b);
#pragma GCC unroll 4
            for (int t = 0; t < TILE; t++) {
                const __m256i x = four_inputs(values + t * kGroup + 4 * step);
                const __m256i low = _mm256_maddubs_epi16(size_a, _mm256_sign_epi8(x, a));
                const __m256i high = _mm256_maddubs_epi16(size_b, _mm256_sign_epi8(x, b));
                dots[t].low = _mm256_add_epi32(dots[t].low, _mm256_madd_epi16(low, ones));
                dots[t].high = _mm256_add_epi32(dots[t].high, _mm256_madd_epi16(high, ones));
            }
        }
    }

    static Lane sums(Pair<__m256i> dots) { return {_mm256_cvtepi32_ps(dots.low), _mm256_cvtepi32_ps(dots.high)}; }

    template <int TILE>
    static void scale_and_add(const Pair<__m256i>* dots, Lane scale, const float* scales, Lane* totals) {
        for (int t = 0; t < TILE; t++) totals[t] = fused(totals[t], sums(dots[t]) * scale, lane_of(scales[t]));
    }

    // One block of weights with TILE rows of a tile.
    template <int TILE, class Total>
    static void multiply(const uint8_t* at, const Quantized& x, long row, Total* totals) {
        Lane own[TILE] = {};
        for (int t = 0; t < TILE; t++) totals[t] = Total{};
        long place = x.place(row, 0);
        for (int group = 0; group < x.groups(); group++, at += Own::bytes, place += kTile) {
            const int8_t* values = x.values + place * kGroup;
            const float* scales = x.scales + place;
            const uint8_t* tail = at + Own::values;
            fetch_ahead<Own::bytes>(at);
            Pair<__m256i> dots[TILE];
            const Lane scale = load_numbers(tail);
            if constexpr (Own::halves) {
                eight_bits<TILE, kSteps / 2>(at, values, dots);
                scale_and_add<TILE>(dots, scale, scales, own);
                eight_bits<TILE, kSteps / 2>(at + kSteps / 2 * 64, values + kGroup / 2, dots);
                scale_and_add<TILE>(dots, load_numbers(tail + Own::numbers), scales, own);
            } else {
                if constexpr (Own::four)
                    four_bits<TILE>(at, values, dots);
                else
                    eight_bits<TILE, kSteps>(at, values, dots);
                scale_and_add<TILE>(dots, scale, scales, own);
            }
            if constexpr (Own::minimum) {
                Lane minimum = load_numbers(tail + Own::numbers);
                if constexpr (!Own::four) minimum = fused(minimum, scale, lane_of(128.0f));
                for (int t = 0; t < TILE; t++) own[t] = fused(own[t], minimum, lane_of(x.offsets[place + t]));
            }
            for (int t = 0; t < TILE; t++) hand_over(totals[t], own[t], group, x.groups());
        }
    }
};

}  // namespace plugtron
