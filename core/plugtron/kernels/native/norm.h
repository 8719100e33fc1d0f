// Root-mean-square and layer normalisation of one row.
#pragma once

#include <cmath>

namespace plugtron {

struct Norm {
    const float* weight;
    const float* bias;  // null: root mean square, else layer normalisation
    float epsilon;
};

inline void normalise(const Norm& norm, const float* source, float* target, int width) {
    float mean = 0.0f, squares = 0.0f;
    if (norm.bias) {
        for (int at = 0; at < width; at++) mean += source[at];
        mean /= static_cast<float>(width);
    }
    for (int at = 0; at < width; at++) squares += (source[at] - mean) * (source[at] - mean);
    const float factor = 1.0f / std::sqrt(squares / static_cast<float>(width) + norm.epsilon);
    for (int at = 0; at < width; at++)
        target[at] = (source[at] - mean) * factor * norm.weight[at] + (norm.bias ? norm.bias[at] : 0.0f);
}

}  // namespace plugtron
