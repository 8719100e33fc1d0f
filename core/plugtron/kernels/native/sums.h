// What products are added up in.
//
// A lane, rounded at every step, is quick. A wide lane has doubles: the parts of a sum over inputs that ranks share are
// rounded to float once, each for itself, and their sum so finely that it is the same wherever it was cut. Otherwise the
// last bit of a hidden state would depend on the number of ranks, and what rounds to eight bits makes much of it. Float32
// and bfloat16 weights, whose activations do not round, are added up in lanes, and widened when a rank's part is done.
#pragma once

#include "lanes.h"

namespace plugtron {

struct Wide {
    double at[kLanes];
};

inline void add(Wide& total, Lane part) {
    float parts[kLanes];
    write(parts, part);
    for (int lane = 0; lane < kLanes; lane++) total.at[lane] += parts[lane];
}

// total += a · b
inline void gather(Lane& total, Lane a, Lane b) { total = fused(total, a, b); }
inline void gather(Wide& total, Lane a, Lane b) { add(total, a * b); }

// total += a · b + c · d
inline void gather(Lane& total, Lane a, Lane b, Lane c, Lane d) { total = fused(fused(total, a, b), c, d); }
inline void gather(Wide& total, Lane a, Lane b, Lane c, Lane d) { add(total, fused(a * b, c, d)); }

inline void assign(Lane& total, Lane sum) { total = sum; }

inline void assign(Wide& total, Lane sum) {
    float parts[kLanes];
    write(parts, sum);
    for (int lane = 0; lane < kLanes; lane++) total.at[lane] = parts[lane];
}

}  // namespace plugtron
