// Products with weights in groups on any processor, one number after the other.
#pragma once

#include "activations.h"


namespace plugtron {

template <int FORMAT, class Operand>
struct Dot;

template <int FORMAT>
struct Dot<FORMAT, Quantized> {
    using Own = Traits<FORMAT>;
    static constexpr int kRows = 1;

    static long block_bytes(int inputs) { return Own::block_bytes(inputs); }

    static int32_t weight(const uint8_t* at, int step, int place) {
        if constexpr (Own::eight) return at[64 * step + place];
        const int32_t nibble = (at[64 * (step / 2) + place] >> (4 * (step & 1))) & 15;
        const uint8_t* high = at + Own::low + place;
        if constexpr (Own::five) return nibble | ((high[0] >> step) & 1) << 4;
        if constexpr (Own::six) return nibble | ((high[64 * (step / 4)] >> (2 * (step % 4))) & 3) << 4;
        return Own::powers ? kTwiceE2m1[nibble] + 128 : nibble;
    }

    template <int TILE, class Total>
    static void multiply(const uint8_t* at, const Quantized& x, long row, Total* totals) {
        constexpr int parts = Own::halves ? 2 : 1, steps = kSteps / parts;
        Lane own{};
        totals[0] = Total{};
        Numbers<FORMAT> numbers(at, x.width);
        for (int group = 0; group < x.groups(); group++, at += Own::bytes) {
            const long place = x.place(row, group);
            const int8_t* values = x.values + place * kGroup;
            const uint8_t* tail = at + Own::values;
            numbers.enter(group);
            for (int part = 0; part < parts; part++) {
                const int32_t whole = part ? x.shifts[place] - x.half_shifts[place]
                                           : Own::halves ? x.half_shifts[place] : x.shifts[place];
                const int32_t shift = whole >> Own::shift;
                int32_t dot[kLanes];
                for (int lane = 0; lane < kLanes; lane++) dot[lane] = Own::minimum ? 0 : shift;
                for (int step = part * steps; step < (part + 1) * steps; step++)
                    for (int lane = 0; lane < kLanes; lane++)
                        for (int k = 0; k < 4; k++) dot[lane] += weight(at, step, 4 * lane + k) * values[4 * step + k];
                float sums[kLanes];
                for (int lane = 0; lane < kLanes; lane++) sums[lane] = static_cast<float>(dot[lane]);
                own = fused(own, load_lane(sums) * numbers.scale(tail, part), lane_of(x.scales[place]));
                if constexpr (Own::minimum) own = fused(own, numbers.minimum(tail), lane_of(x.offsets[place]));
            }
            hand_over(totals[0], own, group, x.groups());
        }
    }
};

}  // namespace plugtron
