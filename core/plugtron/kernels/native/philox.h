// Counter-based random numbers, Philox4x32-10 (Salmon et al., 2011), as plugtron.kernels.philox has them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace plugtron {

// What a row's numbers are keyed by, besides the counter.
struct RandomKey {
    uint32_t seed[2], position[2];
    RandomKey(int64_t seed_, int64_t position_)
        : seed{uint32_t(seed_), uint32_t(uint64_t(seed_) >> 32)},
          position{uint32_t(position_), uint32_t(uint64_t(position_) >> 32)} {}
};

// Four words for each of COUNT counters, which are in words[0], in loops that compilers make vectors of.
template <int COUNT>
inline void philox(const RandomKey& key, uint32_t (&words)[4][COUNT], uint32_t stream = 0) {
    for (int at = 0; at < COUNT; at++) {
        words[1][at] = key.position[0];
        words[2][at] = key.position[1];
        words[3][at] = stream;
    }
    uint32_t key_0 = key.seed[0], key_1 = key.seed[1];
    for (int round = 0; round < 10; round++) {
        for (int at = 0; at < COUNT; at++) {
            const uint64_t product_0 = uint64_t(words[0][at]) * 0xD2511F53u;
            const uint64_t product_1 = uint64_t(words[2][at]) * 0xCD9E8D57u;
            words[0][at] = uint32_t(product_1 >> 32) ^ words[1][at] ^ key_0;
            words[2][at] = uint32_t(product_0 >> 32) ^ words[3][at] ^ key_1;
            words[1][at] = uint32_t(product_1);
            words[3][at] = uint32_t(product_0);
        }
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
}

// The same for counters from `first` on.
template <int COUNT>
inline void philox_from(const RandomKey& key, uint32_t first, uint32_t (&words)[4][COUNT]) {
    for (int at = 0; at < COUNT; at++) words[0][at] = first + uint32_t(at);
    philox(key, words);
}

// A number above 0 and below 1.
inline float uniform_of(uint32_t word) {
    constexpr float kUnit = 2.3283064365386963e-10f;  // 2^-32
    return std::min((float(word) + 0.5f) * kUnit, 1.0f - 5.9604645e-8f);
}

}  // namespace plugtron
