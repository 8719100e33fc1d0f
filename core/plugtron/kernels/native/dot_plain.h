// Products with weights in groups on any processor, one number after the other.
#pragma once

#include <algorithm>

#include "activations.h"

namespace plugtron {

template <int FORMAT, class Operand>
struct Dot;

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

inline float half_power(uint8_t exponent) {
    const uint32_t bits = std::max(uint32_t{exponent} << 23, 0x400000u);
    float power;
    std::memcpy(&power, &bits, 4);
    return power * 0.5f;
}

template <int FORMAT>
struct Dot<FORMAT, Quantized> {
    using Own = Traits<FORMAT>;
    static constexpr int kRows = 1;

    static long block_bytes(int inputs) { return inputs / kGroup * Own::bytes; }

    static float number(const uint8_t* at, int index) {
        if constexpr (Own::powers) return half_power(at[index]);
        if constexpr (!Own::wide) return half_to_float(at + 2 * index);
        float value;
        std::memcpy(&value, at + 4 * index, 4);
        return value;
    }

    static int32_t weight(const uint8_t* at, int step, int place) {
        if constexpr (!Own::four) return at[64 * step + place];
        const int32_t nibble = (at[64 * (step / 2) + place] >> (4 * (step & 1))) & 15;
        return Own::powers ? kTwiceE2m1[nibble] + 128 : nibble;
    }

    template <int TILE, class Total>
    static void multiply(const uint8_t* at, const Quantized& x, long row, Total* totals) {
        constexpr int parts = Own::halves ? 2 : 1, steps = kSteps / parts;
        Lane own{};
        totals[0] = Total{};
        for (int group = 0; group < x.groups(); group++, at += Own::bytes) {
            const long place = x.place(row, group);
            const int8_t* values = x.values + place * kGroup;
            for (int part = 0; part < parts; part++) {
                const int32_t shift = part ? x.shifts[place] - x.half_shifts[place]
                                           : Own::halves ? x.half_shifts[place] : x.shifts[place];
                int32_t dot[kLanes];
                for (int lane = 0; lane < kLanes; lane++) dot[lane] = Own::minimum ? 0 : shift;
                for (int step = part * steps; step < (part + 1) * steps; step++)
                    for (int lane = 0; lane < kLanes; lane++)
                        for (int k = 0; k < 4; k++) dot[lane] += weight(at, step, 4 * lane + k) * values[4 * step + k];
                const uint8_t* tail = at + Own::values + part * Own::numbers;
                float scaled[kLanes], minimums[kLanes];
                for (int lane = 0; lane < kLanes; lane++) {
                    scaled[lane] = static_cast<float>(dot[lane]) * number(tail, lane);
                    if (Own::minimum) minimums[lane] = number(tail + Own::numbers, lane);
                }
                own = fused(own, load_lane(scaled), lane_of(x.scales[place]));
                if (Own::minimum) own = fused(own, load_lane(minimums), lane_of(x.offsets[place]));
            }
            hand_over(totals[0], own, group, x.groups());
        }
    }
};

}  // namespace plugtron
