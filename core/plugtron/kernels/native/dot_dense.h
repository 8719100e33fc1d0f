// Products with float32 and bfloat16 weights. As many rows at once as there are registers for: weights come from a cache
// further away for each of them otherwise. With thirty-two registers a row has two sums, of even and of odd inputs, so that
// they need not wait for each other.
#pragma once

#include "activations.h"

namespace plugtron {

template <int FORMAT>
struct Dot<FORMAT, Dense> {
    static constexpr int kRows = kWord == 16 ? 8 : kWord == 8 ? 6 : 3;
    static constexpr int kSums = kWord == 16 ? 2 : 1;

    static long block_bytes(int inputs) { return Dense::padded(inputs) * kLanes * (FORMAT == kF32 ? 4l : 2l); }

    static void read_two_inputs(const uint8_t* at, Lane& even, Lane& odd) {
        if constexpr (FORMAT == kF32) {
            read(reinterpret_cast<const float*>(at), even);
            read(reinterpret_cast<const float*>(at) + kLanes, odd);
        } else {
            read_pairs(at, even, odd);
        }
    }

    template <int TILE, class Total>
    static void multiply(const uint8_t* at, const Dense& x, long row, Total* totals) {
#if PLUGTRON_BF16
        if constexpr (FORMAT == kBf16) return multiply_halves<TILE>(at, x, row, totals);
#endif
        constexpr long two_inputs = 2 * kLanes * (FORMAT == kF32 ? 4 : 2);
        const float* values = x.values + row * x.stride;
        Lane sums[kSums][TILE] = {};
        for (int input = 0; input < x.stride; input += 2, at += two_inputs) {
            fetch_ahead<two_inputs>(at);
            Lane even, odd;
            read_two_inputs(at, even, odd);
#pragma GCC unroll 8
            for (int t = 0; t < TILE; t++) {
                sums[0][t] = fused(sums[0][t], even, lane_of(values[t * x.stride + input]));
                sums[kSums - 1][t] = fused(sums[kSums - 1][t], odd, lane_of(values[t * x.stride + input + 1]));
            }
        }
        for (int t = 0; t < TILE; t++) assign(totals[t], kSums == 1 ? sums[0][t] : sums[0][t] + sums[kSums - 1][t]);
    }

#if PLUGTRON_BF16
    // With activations in bfloat16 too, as the processor multiplies them.
    template <int TILE, class Total>
    static void multiply_halves(const uint8_t* at, const Dense& x, long row, Total* totals) {
        const uint16_t* values = x.halves + row * x.stride;
        __m512 sums[2][TILE];
        for (int t = 0; t < TILE; t++) sums[0][t] = sums[1][t] = _mm512_setzero_ps();
        for (int input = 0; input < x.stride; input += 4, at += 128) {
            fetch_ahead<128>(at);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const __m512bh weights = reinterpret_cast<__m512bh>(_mm512_loadu_si512(at + 64 * half));
#pragma GCC unroll 8
                for (int t = 0; t < TILE; t++) {
                    int32_t two;
                    std::memcpy(&two, values + t * x.stride + input + 2 * half, 4);
                    const __m512bh own = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
                    sums[half][t] = _mm512_dpbf16_ps(sums[half][t], weights, own);
                }
            }
        }
        for (int t = 0; t < TILE; t++) assign(totals[t], _mm512_add_ps(sums[0][t], sums[1][t]));
    }
#endif
};

}  // namespace plugtron
