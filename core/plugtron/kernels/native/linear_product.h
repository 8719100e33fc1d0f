// The product of one form of weights: for the files that compile it, of which there are several, to be compiled beside
// each other.
#pragma once

#include <algorithm>
#include <type_traits>

#include "linear.h"

namespace plugtron {

// Rows that stay in the nearest cache while all weights pass by.
constexpr long kChunk = 64;

// What 4 bits of floating point stand for, twice over, so that they are integers.
alignas(16) constexpr int8_t kTwiceE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Weights come from memory, and processors look no further ahead than a page; nor as far where rows of activations pass by
// beside them.
template <long BYTES>
inline void fetch_ahead(const uint8_t* at) {
    for (long ahead = 0; ahead < BYTES; ahead += 64) __builtin_prefetch(at + 2560 + ahead);
}

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
void multiply_as(const Linear& layer, const Operand& x, long first, long rows, float* y, long begin, long end) {
    if (layer.shared)
        multiply_in<FORMAT, Wide>(layer, x, first, rows, y, begin, end);
    else
        multiply_in<FORMAT, Lane>(layer, x, first, rows, y, begin, end);
}

#define PLUGTRON_MULTIPLY(format, Operand) \
    template void multiply_as<format>(const Linear&, const Operand&, long, long, float*, long, long);

}  // namespace plugtron
