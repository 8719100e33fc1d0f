// y = x Wᵀ for weights of 4 or 8 bits in groups with int8 activations, and for float32 and bfloat16 weights.
//
// Weights are packed in blocks of 16 outputs, in the order in which they are used. In groups: 32 inputs at a time, eight
// steps of 16 outputs × 4 inputs, then a scale per output, then a minimum; two steps of 4 bits share 64 bytes, of which
// the first has the low halves. Of 5 and 6 bits those above the lowest four come after: a byte has the fifth bits of eight
// steps, or both upper bits of four. A value is q · scale + minimum, or (q - 128) · scale where there is no minimum (16 and
// 32 in place of 128 for 5 and 6 bits); in MXFP4 it is a number of the table times a power of 2;
// plugtron.quantization.weight says more. Where scales are codes, the factors of all groups end the block. Floats: 16
// outputs of one input after the other, bfloat16: 16 outputs × 2 inputs; inputs are padded with zeros to a multiple of 16. Every row of x is added up in the same order, whatever rows
// are beside it.
#pragma once

#include <cstring>

#include "activations.h"
#include "numbers.h"

namespace plugtron {

inline bool is_dense(int32_t format) { return format >= kF32; }

struct Linear {
    const uint8_t* packed;
    const float* bias;  // or null
    int inputs, outputs, format;
    int stride, offset;  // how wide a row of y is, and where in it the outputs begin
    bool add;            // to what is there (the residual), instead of replacing it
    bool shared;         // ranks share, or might share, the inputs: sums are wide
    double* partial;     // where wide sums go instead of y, as long as the ranks' are still to be added; or null

    long blocks() const { return (outputs + kLanes - 1) / kLanes; }

    int count(long block) const {
        return outputs - block * kLanes < kLanes ? static_cast<int>(outputs - block * kLanes) : kLanes;
    }

    // Put sixteen outputs of a row where they belong.
    void store(float* y, long row, long block, Lane value) const {
        if (bias) value = value + load_lane(bias + block * kLanes, count(block));
        float* target = y + row * stride + offset + block * kLanes;
        if (add) value = load_lane(target, count(block)) + value;
        store_lane(target, value, count(block));
    }

    void store(float* y, long row, long block, Wide total) const {
        const long first = row * stride + offset + block * kLanes;
        if (bias) plugtron::add(total, load_lane(bias + block * kLanes, count(block)));
        if (add) plugtron::add(total, load_lane(y + first, count(block)));
        if (partial)
            std::memcpy(partial + first, total.at, sizeof(double) * count(block));
        else
            store_lane(y + first, narrow(total), count(block));
    }
};

// Blocks [begin, end) of a layer for rows [first, rows), of which the first begins a tile.
void multiply(
    const Linear& layer, const Quantized& x, const Dense& dense, long first, long rows, float* y, long begin,
    long end);

// What sixteen outputs of a weight take.
long block_bytes(int32_t format, int inputs);

}  // namespace plugtron
