// Root-mean-square and layer normalization of one row.
#pragma once

#include <cmath>

#include "lanes.h"

namespace plugtron {

struct Norm {
    const float* weight;  // or null
    const float* bias;    // or null
    float epsilon;
    bool centered;  // layer normalization, else root mean square
};

inline float mean_of(const float* source, int width) {
    Lane sum = {};
    for (int at = 0; at < width; at += kLanes) sum = sum + load_lane(source + at, width - at);
    return sum_of(sum) / static_cast<float>(width);
}

// The mean of what (source - mean)² is.
inline float spread_of(const float* source, float mean, int width) {
    Lane sum = {};
    int at = 0;
    for (; at + kLanes <= width; at += kLanes) {
        const Lane own = load_lane(source + at) - mean;
        sum = fused(sum, own, own);
    }
    float rest = 0.0f;
    for (; at < width; at++) rest += (source[at] - mean) * (source[at] - mean);
    return (sum_of(sum) + rest) / static_cast<float>(width);
}

inline void normalize(const Norm& norm, const float* source, float* target, int width) {
    const float mean = norm.centered ? mean_of(source, width) : 0.0f;
    const float factor = 1.0f / std::sqrt(spread_of(source, mean, width) + norm.epsilon);
    if (norm.weight && norm.bias)
        for (int at = 0; at < width; at++) target[at] = (source[at] - mean) * factor * norm.weight[at] + norm.bias[at];
    else if (norm.weight)
        for (int at = 0; at < width; at++) target[at] = (source[at] - mean) * factor * norm.weight[at];
    else
        for (int at = 0; at < width; at++) target[at] = (source[at] - mean) * factor;
}

}  // namespace plugtron
