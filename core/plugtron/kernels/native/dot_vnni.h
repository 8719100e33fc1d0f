// Products with weights in groups on processors with AVX-512 VNNI: sixteen outputs × 4 inputs an instruction.
#pragma once

#include "activations.h"


namespace plugtron {

template <int FORMAT, class Operand>
struct Dot;

template <int FORMAT>
struct Dot<FORMAT, Quantized> {
    using Own = Traits<FORMAT>;
    static constexpr int kRows = 8;

    static long block_bytes(int inputs) { return Own::block_bytes(inputs); }

    // What 4 bits of floating point stand for, twice over, and 128 added.
    static __m512i table() {
        const __m128i twice = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kTwiceE2m1));
        return _mm512_broadcast_i32x4(twice) ^ _mm512_set1_epi8(-128);
    }

    // Bits [first, ...) of each byte at the place of bits [4, ...).
    template <int FIRST>
    static __m512i at_four(__m512i bytes) {
        if constexpr (FIRST < 4)
            return _mm512_slli_epi16(bytes, 4 - FIRST);
        else
            return _mm512_srli_epi16(bytes, FIRST - 4);
    }

    template <int STEP = 0>
    static void add_high_bits(const uint8_t* at, __m512i* steps) {
        constexpr int bits = Own::six ? 2 : 1, first = bits * STEP % 8;
        const __m512i mask = _mm512_set1_epi8(Own::six ? 0x30 : 0x10);
        const __m512i plane = _mm512_loadu_si512(at + 64 * (bits * STEP / 8));
        steps[STEP] = _mm512_or_si512(steps[STEP], _mm512_and_si512(at_four<first>(plane), mask));
        if constexpr (STEP + 1 < kSteps) add_high_bits<STEP + 1>(at, steps);
    }

    static void load_steps(const uint8_t* at, __m512i* steps) {
        if constexpr (!Own::eight) {
            const __m512i low = _mm512_set1_epi8(15);
            for (int pair = 0; pair < kSteps / 2; pair++) {
                const __m512i both = _mm512_loadu_si512(at + 64 * pair);
                steps[2 * pair] = _mm512_and_si512(both, low);
                steps[2 * pair + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
            }
            if constexpr (Own::powers)
                for (int step = 0; step < kSteps; step++) steps[step] = _mm512_shuffle_epi8(table(), steps[step]);
            if constexpr (Own::five || Own::six) add_high_bits(at + Own::low, steps);
        } else {
            for (int step = 0; step < kSteps; step++) steps[step] = _mm512_loadu_si512(at + 64 * step);
        }
    }

    // Add STEPS steps to what is in `dots`. All rows for one step before the next: the sums of a row wait for each other.
    template <int TILE, int STEPS>
    static void add_steps(const __m512i* steps, const int8_t* values, __m512i* dots) {
#pragma GCC unroll 8
        for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 8
            for (int t = 0; t < TILE; t++) {
                int32_t four;
                std::memcpy(&four, values + t * kGroup + 4 * step, 4);
                dots[t] = _mm512_dpbusd_epi32(dots[t], steps[step], _mm512_set1_epi32(four));
            }
    }

    template <int TILE>
    static void scale_and_add(const __m512i* dots, Lane scale, const float* scales, Lane* totals) {
#pragma GCC unroll 8
        for (int t = 0; t < TILE; t++)
            totals[t] = fused(totals[t], _mm512_cvtepi32_ps(dots[t]) * scale, lane_of(scales[t]));
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
            fetch_ahead<Own::bytes>(at);
            __m512i steps[kSteps], dots[TILE];
            load_steps(at, steps);
            numbers.enter(group);
            const uint8_t* tail = at + Own::values;
            const Lane scale = numbers.scale(tail);
            if constexpr (Own::halves) {
                for (int t = 0; t < TILE; t++) dots[t] = _mm512_set1_epi32(x.half_shifts[place + t] >> Own::shift);
                add_steps<TILE, kSteps / 2>(steps, values, dots);
                scale_and_add<TILE>(dots, scale, x.scales + place, own);
                for (int t = 0; t < TILE; t++)
                    dots[t] = _mm512_set1_epi32((x.shifts[place + t] - x.half_shifts[place + t]) >> Own::shift);
                add_steps<TILE, kSteps / 2>(steps + kSteps / 2, values + kGroup / 2, dots);
                scale_and_add<TILE>(dots, numbers.scale(tail, true), x.scales + place, own);
            } else {
                for (int t = 0; t < TILE; t++)
                    dots[t] = Own::minimum ? _mm512_setzero_si512() : _mm512_set1_epi32(x.shifts[place + t] >> Own::shift);
                add_steps<TILE, kSteps>(steps, values, dots);
                scale_and_add<TILE>(dots, scale, x.scales + place, own);
            }
            if constexpr (Own::minimum) {
                const Lane minimum = numbers.minimum(tail);
#pragma GCC unroll 8
                for (int t = 0; t < TILE; t++) own[t] = fused(own[t], minimum, lane_of(x.offsets[place + t]));
            }
            for (int t = 0; t < TILE; t++) hand_over(totals[t], own[t], group, x.groups());
        }
    }
};

}  // namespace plugtron
