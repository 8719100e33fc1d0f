// What products are added up in.
//
// A lane, rounded at every step, is quick. A wide lane has doubles: the parts of a sum over inputs that ranks share, a unit
// of groups each, are rounded to float for themselves, and their sum so finely that it is the same wherever it was cut.
// Otherwise the last bit of a hidden state would depend on the number of ranks, and what rounds to eight bits makes much
// of it. Float32 and bfloat16 weights, whose activations do not round, are added up in lanes, and widened when a rank's
// part is done.
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

inline Lane narrow(const Wide& total) {
    float parts[kLanes];
    for (int lane = 0; lane < kLanes; lane++) parts[lane] = static_cast<float>(total.at[lane]);
    return load_lane(parts);
}

// Groups of inputs whose products are added up in a lane before they are widened, which is dear: shards of whole units have
// the same sums on any number of ranks.
constexpr int kUnit = 2;

// What `sum` has come to by a group goes over to the total: at the end, or unit by unit where the total is wide.
PLUGTRON_INLINE void hand_over(Lane& total, const Lane& sum, int group, int groups) {
    if (group == groups - 1) total = sum;
}

PLUGTRON_INLINE void hand_over(Wide& total, Lane& sum, int group, int groups) {
    if (group % kUnit != kUnit - 1 && group != groups - 1) return;
    add(total, sum);
    sum = Lane{};
}

inline void assign(Lane& total, Lane sum) { total = sum; }

inline void assign(Wide& total, Lane sum) {
    float parts[kLanes];
    write(parts, sum);
    for (int lane = 0; lane < kLanes; lane++) total.at[lane] = parts[lane];
}

}  // namespace plugtron
