// y = x Wᵀ for weights of 4 or 8 bits in groups with int8 activations, and for float32 and bfloat16 weights.
//
// Weights are packed in blocks of 16 outputs, in the order in which they are used. In groups: 32 inputs at a time, eight
// steps of 16 outputs × 4 inputs, then a scale per output, then a minimum; two steps of 4 bits share 64 bytes, of which
// the first has the low halves. A value is q · scale + minimum, or (q - 128) · scale where there is no minimum; in MXFP4
// it is a number of the table times a power of 2; plugtron.quantization.weight says more. Floats: 16 outputs of one input after the other, bfloat16: 16 outputs ×
// 2 inputs; inputs are padded with zeros to a multiple of 16. Every row of x is added up in the same order, whatever rows
// are beside it.
#pragma once

#include <algorithm>
#include <type_traits>

#include "activations.h"

namespace plugtron {

constexpr int kSteps = 8;
// Rows that stay in the nearest cache while all weights pass by.
constexpr long kChunk = 64;

// Those of packing.Format. Wide ones have float32 scales, halves two of them for 32 inputs, powers a byte for each.
enum Format : int32_t { kInt4, kInt4F32Scales, kInt8, kInt8F32Scales, kInt8G16, kMxfp4, kF32, kBf16 };

// What 4 bits of floating point stand for, twice over, so that they are integers.
alignas(16) constexpr int8_t kTwiceE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

template <int FORMAT>
struct Traits {
    static constexpr bool powers = FORMAT == kMxfp4;
    static constexpr bool four = FORMAT == kInt4 || FORMAT == kInt4F32Scales || powers;
    static constexpr bool wide = FORMAT == kInt4F32Scales || FORMAT == kInt8F32Scales || FORMAT == kInt8G16;
    static constexpr bool halves = FORMAT == kInt8G16;
    static constexpr bool minimum = FORMAT == kInt4 || FORMAT == kInt4F32Scales || FORMAT == kInt8F32Scales;
    static constexpr long values = four ? 4 * 64 : 8 * 64;
    static constexpr long numbers = kLanes * (powers ? 1 : wide ? 4 : 2);  // bytes of sixteen scales
    static constexpr long bytes = values + numbers * (minimum || halves ? 2 : 1);
};

// Weights come from memory, and processors look no further ahead than a page; nor as far where rows of activations pass by
// beside them.
template <long BYTES>
inline void fetch_ahead(const uint8_t* at) {
    for (long ahead = 0; ahead < BYTES; ahead += 64) __builtin_prefetch(at + 2560 + ahead);
}

inline bool is_dense(int32_t format) { return format >= kF32; }

}  // namespace plugtron

#if PLUGTRON_VNNI
#include "dot_vnni.h"
#elif PLUGTRON_AVX2
#include "dot_avx2.h"
#else
#include "dot_plain.h"
#endif
#include "dot_dense.h"

namespace plugtron {

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

// COUNT rows of a tile, or as many of them as there are.
template <int FORMAT, int COUNT, class Operand, class Total>
inline void multiply_some(const uint8_t* at, const Operand& x, long row, int rows, Total* totals) {
    if constexpr (COUNT > 1)
        if (rows < COUNT) return multiply_some<FORMAT, COUNT - 1>(at, x, row, rows, totals);
    Dot<FORMAT, Operand>::template multiply<COUNT>(at, x, row, totals);
}

// Blocks [begin, end) of a layer for rows [first, rows), of which the first begins a tile.
template <int FORMAT, class Total, class Operand>
inline void multiply_in(const Linear& layer, const Operand& x, long first, long rows, float* y, long begin, long end) {
    using Own = Dot<FORMAT, Operand>;
    static_assert(!std::is_same<Operand, Quantized>::value || kTile % Own::kRows == 0, "rows of one tile at a time");
    const long bytes = Own::block_bytes(layer.inputs);
    for (long chunk = first; chunk < rows; chunk += kChunk) {
        const long stop = std::min(rows, chunk + kChunk);
        for (long block = begin; block < end; block++)
            for (long row = chunk; row < stop; row += Own::kRows) {
                const int some = static_cast<int>(std::min<long>(stop - row, Own::kRows));
                Total totals[Own::kRows];
                multiply_some<FORMAT, Own::kRows>(layer.packed + block * bytes, x, row, some, totals);
                for (int t = 0; t < some; t++) layer.store(y, row + t, block, totals[t]);
            }
    }
}

template <int FORMAT, class Operand>
inline void multiply_as(const Linear& layer, const Operand& x, long first, long rows, float* y, long begin, long end) {
    if (layer.shared)
        multiply_in<FORMAT, Wide>(layer, x, first, rows, y, begin, end);
    else
        multiply_in<FORMAT, Lane>(layer, x, first, rows, y, begin, end);
}

inline void multiply(
    const Linear& layer, const Quantized& x, const Dense& dense, long first, long rows, float* y, long begin,
    long end) {
    switch (layer.format) {
        case kInt4: return multiply_as<kInt4>(layer, x, first, rows, y, begin, end);
        case kInt4F32Scales: return multiply_as<kInt4F32Scales>(layer, x, first, rows, y, begin, end);
        case kInt8: return multiply_as<kInt8>(layer, x, first, rows, y, begin, end);
        case kInt8F32Scales: return multiply_as<kInt8F32Scales>(layer, x, first, rows, y, begin, end);
        case kInt8G16: return multiply_as<kInt8G16>(layer, x, first, rows, y, begin, end);
        case kMxfp4: return multiply_as<kMxfp4>(layer, x, first, rows, y, begin, end);
        case kF32: return multiply_as<kF32>(layer, dense, first, rows, y, begin, end);
        default: return multiply_as<kBf16>(layer, dense, first, rows, y, begin, end);
    }
}

// What sixteen outputs of a weight take.
inline long block_bytes(int32_t format, int inputs) {
    switch (format) {
        case kInt4: return Dot<kInt4, Quantized>::block_bytes(inputs);
        case kInt4F32Scales: return Dot<kInt4F32Scales, Quantized>::block_bytes(inputs);
        case kInt8: return Dot<kInt8, Quantized>::block_bytes(inputs);
        case kInt8F32Scales: return Dot<kInt8F32Scales, Quantized>::block_bytes(inputs);
        case kInt8G16: return Dot<kInt8G16, Quantized>::block_bytes(inputs);
        case kMxfp4: return Dot<kMxfp4, Quantized>::block_bytes(inputs);
        case kF32: return Dot<kF32, Dense>::block_bytes(inputs);
        default: return Dot<kBf16, Dense>::block_bytes(inputs);
    }
}

}  // namespace plugtron
