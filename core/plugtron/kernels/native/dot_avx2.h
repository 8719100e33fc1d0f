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

    static long block_bytes(int inputs) { return Own::block_bytes(inputs); }

    static __m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

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
        const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(kTwiceE2m1)));
        for (int t = 0; t < TILE; t++) dots[t] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 4
        for (int pair = 0; pair < kSteps / 2; pair++) {
            const __m256i first = load(at + 64 * pair), second = load(at + 64 * pair + 32);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                __m256i a = _mm256_and_si256(half ? _mm256_srli_epi16(first, 4) : first, low);
                __m256i b = _mm256_and_si256(half ? _mm256_srli_epi16(second, 4) : second, low);
                if constexpr (Own::powers) {
                    a = _mm256_shuffle_epi8(table, a);
                    b = _mm256_shuffle_epi8(table, b);
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

    // Bits [first, ...) of each byte at the place of bits [4, ...).
    static __m256i at_four(__m256i bytes, int first) {
        return first < 4 ? _mm256_slli_epi16(bytes, 4 - first) : _mm256_srli_epi16(bytes, first - 4);
    }

    // Sixteen outputs, half of them, of a step of 5 or 6 bits.
    static __m256i weights_of(const uint8_t* at, int step, int half) {
        constexpr int bits = Own::six ? 2 : 1;
        const __m256i both = load(at + 64 * (step / 2) + 32 * half), mask = _mm256_set1_epi8(Own::six ? 0x30 : 0x10);
        const __m256i low = _mm256_and_si256(step & 1 ? _mm256_srli_epi16(both, 4) : both, _mm256_set1_epi8(15));
        const __m256i plane = load(at + Own::low + 64 * (bits * step / 8) + 32 * half);
        return _mm256_or_si256(low, _mm256_and_si256(at_four(plane, bits * step % 8), mask));
    }

    // Steps [FIRST, FIRST + STEPS) of 5 or 6 bits: so many sums of at most 2 · 31 · 127, or 2 · 63 · 127, fit 16 bits.
    template <int TILE, int FIRST, int STEPS>
    static void more_bits(const uint8_t* at, const int8_t* values, Pair<__m256i>* dots) {
        constexpr int fit = Own::six ? 2 : 4;
        const __m256i ones = _mm256_set1_epi16(1);
        for (int t = 0; t < TILE; t++) dots[t] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 4
        for (int begin = FIRST; begin < FIRST + STEPS; begin += fit) {
            Pair<__m256i> some[TILE];
            for (int t = 0; t < TILE; t++) some[t] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 4
            for (int step = begin; step < begin + fit; step++) {
                const __m256i a = weights_of(at, step, 0), b = weights_of(at, step, 1);
#pragma GCC unroll 4
                for (int t = 0; t < TILE; t++) {
                    const __m256i x = four_inputs(values + t * kGroup + 4 * step);
                    some[t].low = _mm256_add_epi16(some[t].low, _mm256_maddubs_epi16(a, x));
                    some[t].high = _mm256_add_epi16(some[t].high, _mm256_maddubs_epi16(b, x));
                }
            }
            for (int t = 0; t < TILE; t++) {
                dots[t].low = _mm256_add_epi32(dots[t].low, _mm256_madd_epi16(some[t].low, ones));
                dots[t].high = _mm256_add_epi32(dots[t].high, _mm256_madd_epi16(some[t].high, ones));
            }
        }
    }

    // What was added to weights without a minimum, taken away again.
    template <int TILE>
    static void add_shift(const int32_t* shifts, Pair<__m256i>* dots) {
        for (int t = 0; t < TILE; t++) {
            const __m256i shift = _mm256_set1_epi32(shifts[t] >> Own::shift);
            dots[t] = {_mm256_add_epi32(dots[t].low, shift), _mm256_add_epi32(dots[t].high, shift)};
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
        Numbers<FORMAT> numbers(at, x.width);
        for (int group = 0; group < x.groups(); group++, at += Own::bytes, place += kTile) {
            const int8_t* values = x.values + place * kGroup;
            const float* scales = x.scales + place;
            const uint8_t* tail = at + Own::values;
            fetch_ahead<Own::bytes>(at);
            Pair<__m256i> dots[TILE];
            numbers.enter(group);
            const Lane scale = numbers.scale(tail);
            if constexpr (Own::six) {
                int32_t second[TILE];
                for (int t = 0; t < TILE; t++) second[t] = x.shifts[place + t] - x.half_shifts[place + t];
                more_bits<TILE, 0, kSteps / 2>(at, values, dots);
                add_shift<TILE>(x.half_shifts + place, dots);
                scale_and_add<TILE>(dots, scale, scales, own);
                more_bits<TILE, kSteps / 2, kSteps / 2>(at, values, dots);
                add_shift<TILE>(second, dots);
                scale_and_add<TILE>(dots, numbers.scale(tail, true), scales, own);
            } else if constexpr (Own::halves) {
                eight_bits<TILE, kSteps / 2>(at, values, dots);
                scale_and_add<TILE>(dots, scale, scales, own);
                eight_bits<TILE, kSteps / 2>(at + kSteps / 2 * 64, values + kGroup / 2, dots);
                scale_and_add<TILE>(dots, numbers.scale(tail, true), scales, own);
            } else {
                if constexpr (Own::four)
                    four_bits<TILE>(at, values, dots);
                else if constexpr (Own::five)
                    more_bits<TILE, 0, kSteps>(at, values, dots);
                else
                    eight_bits<TILE, kSteps>(at, values, dots);
                if constexpr (Own::five && !Own::minimum) add_shift<TILE>(x.shifts + place, dots);
                scale_and_add<TILE>(dots, scale, scales, own);
            }
            if constexpr (Own::minimum) {
                Lane minimum = numbers.minimum(tail);
                if constexpr (Own::eight) minimum = fused(minimum, scale, lane_of(128.0f));
                for (int t = 0; t < TILE; t++) own[t] = fused(own[t], minimum, lane_of(x.offsets[place + t]));
            }
            for (int t = 0; t < TILE; t++) hand_over(totals[t], own[t], group, x.groups());
        }
    }
};

}  // namespace plugtron
