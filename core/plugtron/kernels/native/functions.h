// e^x and the activations of MLPs, of sixteen numbers at once.
#pragma once

#include "lanes.h"

namespace plugtron {

// Adding this to a float of less than 2²² leaves the nearest integer in its low bits.
constexpr float kRounder = 12582912.0f;

inline Word power_of_two(Word rounded) { return reinterpret_cast<Word>((reinterpret_cast<Ints>(rounded) << 23) + 0x3f800000); }
template <class H> inline Pair<H> power_of_two(Pair<H> rounded) {
    return {power_of_two(rounded.low), power_of_two(rounded.high)};
}

// e^x to float precision (range reduction and the polynomial of Cephes' expf), x being from -87 to 88.
PLUGTRON_INLINE Lane exponential_in_range(Lane x) {
    const Lane rounded = fused(lane_of(kRounder), x, lane_of(1.44269504088896341f));
    const Lane n = rounded - kRounder;
    Lane r = fused(x, n, lane_of(-0.693359375f));
    r = fused(r, n, lane_of(2.12194440e-4f));
    Lane p = lane_of(1.9875691500e-4f);
    p = fused(lane_of(1.3981999507e-3f), p, r);
    p = fused(lane_of(8.3334519073e-3f), p, r);
    p = fused(lane_of(4.1665795894e-2f), p, r);
    p = fused(lane_of(1.6666665459e-1f), p, r);
    p = fused(lane_of(5.0000001201e-1f), p, r);
    p = fused(r + 1.0f, p * r, r);
    return p * power_of_two(rounded);
}

inline Lane exponential(Lane x) {
    return exponential_in_range(smaller(greater(x, lane_of(-87.0f)), lane_of(88.0f)));
}

inline Lane sigmoid(Lane x) { return lane_of(1.0f) / (exponential(x * -1.0f) + 1.0f); }

// The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26).
inline Lane error_function(Lane x) {
    const Lane size = absolute(x), t = lane_of(1.0f) / fused(lane_of(1.0f), size, lane_of(0.3275911f));
    Lane p = lane_of(1.061405429f);
    p = fused(lane_of(-1.453152027f), p, t);
    p = fused(lane_of(1.421413741f), p, t);
    p = fused(lane_of(-0.284496736f), p, t);
    p = fused(lane_of(0.254829592f), p, t);
    const Lane found = lane_of(1.0f) - p * t * exponential(size * size * -1.0f);
    return found * smaller(greater(x * 1e30f, lane_of(-1.0f)), lane_of(1.0f));
}

// In the order of plugtron.execution.lowering.row_steps' list.
enum Activation { kSilu, kGelu, kGeluTanh, kGeluQuick, kRelu, kReluSquared, kTanh, kSigmoid, kSquare, kExponential };

template <int KIND>
inline Lane activate(Lane x) {
    if constexpr (KIND == kSilu) return x * sigmoid(x);
    if constexpr (KIND == kGelu) return x * 0.5f * (error_function(x * 0.70710678118654752f) + 1.0f);
    if constexpr (KIND == kGeluTanh)  // 0.5 (1 + tanh(y)) = sigmoid(2 y)
        return x * sigmoid(fused(x, x * x * x, lane_of(0.044715f)) * (2.0f * 0.79788456080286536f));
    if constexpr (KIND == kGeluQuick) return x * sigmoid(x * 1.702f);
    if constexpr (KIND == kRelu) return greater(x, lane_of(0.0f));
    if constexpr (KIND == kReluSquared) return greater(x, lane_of(0.0f)) * greater(x, lane_of(0.0f));
    if constexpr (KIND == kSigmoid) return sigmoid(x);
    if constexpr (KIND == kSquare) return x * x;
    if constexpr (KIND == kExponential) return exponential(x);
    return sigmoid(x * 2.0f) * 2.0f - 1.0f;
}

}  // namespace plugtron
