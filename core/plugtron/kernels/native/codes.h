// Scores of queries with keys of int8, in integers.
//
// A query is rounded to 16 bits, which is finer than what keys have lost, and its products with a key are added up exactly:
// the sum is the same on any processor, and however many queries and keys are scored together.
#pragma once

#include <algorithm>
#include <vector>

#include "int8_row.h"
#include "long_sum.h"

namespace plugtron {

typedef int16_t Shorts __attribute__((vector_size(4 * kWord), aligned(4 * kWord)));

// A register has sixteen channels of some keys, a segment of 16 bytes each.
constexpr int kChannels = 16;
constexpr int kSegments = kWord / 4;

#if defined(__x86_64__)
typedef __m128i Segment;
#else
typedef int64_t Segment __attribute__((vector_size(16)));
#endif

PLUGTRON_INLINE Segment load_segment(const void* from) {
    Segment segment;
    std::memcpy(&segment, from, sizeof(segment));
    return segment;
}

// Segments side by side, each so many further than the one before.
template <int STRIDE>
PLUGTRON_INLINE Shorts join(const Segment* some) {
#if PLUGTRON_VNNI
    __m512i whole = _mm512_castsi128_si512(some[0]);
    whole = _mm512_inserti32x4(whole, some[STRIDE], 1);
    whole = _mm512_inserti32x4(whole, some[2 * STRIDE], 2);
    return reinterpret_cast<Shorts>(_mm512_inserti32x4(whole, some[3 * STRIDE], 3));
#elif PLUGTRON_AVX2
    return reinterpret_cast<Shorts>(_mm256_inserti128_si256(_mm256_castsi128_si256(some[0]), some[STRIDE], 1));
#else
    return reinterpret_cast<Shorts>(some[0]);
#endif
}

// Add products of neighbors to sums of 32 bits.
PLUGTRON_INLINE Ints add_pairs(Ints sums, Shorts a, Shorts b) {
#if PLUGTRON_VNNI
    return reinterpret_cast<Ints>(_mm512_dpwssd_epi32(
        reinterpret_cast<__m512i>(sums), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif PLUGTRON_AVX2
    return sums + reinterpret_cast<Ints>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
    const Ints own = reinterpret_cast<Ints>(a), other = reinterpret_cast<Ints>(b);
    return sums + ((own << 16) >> 16) * ((other << 16) >> 16) + (own >> 16) * (other >> 16);
#endif
}

#if PLUGTRON_VNNI
#define PLUGTRON_SEGMENTS(one) one(0), one(4), one(8), one(12)
#elif PLUGTRON_AVX2
#define PLUGTRON_SEGMENTS(one) one(0), one(4)
#else
#define PLUGTRON_SEGMENTS(one) one(0)
#endif
#define PLUGTRON_LOW(at) at, kWord + at, at + 1, kWord + at + 1
#define PLUGTRON_HIGH(at) at + 2, kWord + at + 2, at + 3, kWord + at + 3
#define PLUGTRON_LOW_PAIR(at) at, at + 1, kWord + at, kWord + at + 1
#define PLUGTRON_HIGH_PAIR(at) at + 2, at + 3, kWord + at + 2, kWord + at + 3

// Segments of four registers added up: those of one place become four neighbors there.
PLUGTRON_INLINE Ints sums_of_segments(const Ints* words) {
    const Ints a = PLUGTRON_SHUFFLE(Ints, words[0], words[1], PLUGTRON_SEGMENTS(PLUGTRON_LOW)) +
                   PLUGTRON_SHUFFLE(Ints, words[0], words[1], PLUGTRON_SEGMENTS(PLUGTRON_HIGH));
    const Ints b = PLUGTRON_SHUFFLE(Ints, words[2], words[3], PLUGTRON_SEGMENTS(PLUGTRON_LOW)) +
                   PLUGTRON_SHUFFLE(Ints, words[2], words[3], PLUGTRON_SEGMENTS(PLUGTRON_HIGH));
    return PLUGTRON_SHUFFLE(Ints, a, b, PLUGTRON_SEGMENTS(PLUGTRON_LOW_PAIR)) +
           PLUGTRON_SHUFFLE(Ints, a, b, PLUGTRON_SEGMENTS(PLUGTRON_HIGH_PAIR));
}

#undef PLUGTRON_SEGMENTS
#undef PLUGTRON_LOW
#undef PLUGTRON_HIGH
#undef PLUGTRON_LOW_PAIR
#undef PLUGTRON_HIGH_PAIR

PLUGTRON_INLINE Word to_floats(Ints numbers) { return __builtin_convertvector(numbers, Word); }

// Sixteen channels of some keys in 16 bits.
struct Channels {
    Shorts even, odd;
};

// What a thread scores with: the queries of a tile and head, and the keys of a lane of positions.
class Codes {
   public:
    // Make queries integers; their even channels come before their odd ones, sixteen at a time.
    void round_queries(const float* const* queries, int count, int dim) {
        stride_ = (dim + kChannels - 1) / kChannels * kChannels;
        queries_.resize(std::max<size_t>(queries_.size(), static_cast<size_t>(count) * stride_));
        factors_.resize(std::max<size_t>(factors_.size(), count));
        keys_.resize(std::max<size_t>(keys_.size(), stride_ * kLanes / (4 * kWord)));
        row_.assign(stride_, 0);
        // No sum of `dim` products may need more than 31 bits.
        const float most = std::min(32767.0f, 16.0e6f / static_cast<float>(dim));
        for (int own = 0; own < count; own++) {
            factors_[own] = round_row(queries[own], dim, most, row_.data());
            int16_t* target = queries_.data() + static_cast<long>(own) * stride_;
            for (int at = 0; at < stride_; at++)
                target[at / kChannels * kChannels + at % 2 * (kChannels / 2) + at % kChannels / 2] = row_[at];
        }
    }

    // Take a lane of keys, as registers of their even and of their odd channels.
    template <int DIM, class Keys>
    void widen_keys(Keys keys, int width) {
        const int dim = DIM ? DIM : width;
        Channels* target = keys_.data();
        for (int first = 0; first < kLanes; first += kWord)
            for (int channel = 0; channel < dim; channel += kChannels)
#pragma GCC unroll 4
                for (int own = 0; own < 4; own++, target++) {
                    Segment some[kWord] = {};
#pragma GCC unroll 4
                    for (int at = own; at < kWord; at += 4)
                        some[at - own] = load_channels(keys(first + at) + channel, dim - channel);
                    const Shorts both = join<4>(some);
                    target->even = (both << 8) >> 8;
                    target->odd = both >> 8;
                }
    }

    // Scores of a query with the lane of keys, whose scales are `scales`.
    template <int DIM>
    void score(int query, const float* scales, int width, float* scores) const {
        const int dim = DIM ? DIM : width;
        const Channels* keys = keys_.data();
        const int16_t* own = queries_.data() + static_cast<long>(query) * stride_;
        for (int first = 0; first < kLanes; first += kWord) {
            Ints sums[4] = {};
            for (int channel = 0; channel < dim; channel += kChannels, keys += 4) {
                const Shorts even = spread(own + channel), odd = spread(own + channel + kChannels / 2);
#pragma GCC unroll 4
                for (int at = 0; at < 4; at++) sums[at] = add_pairs(sums[at], keys[at].even, even);
#pragma GCC unroll 4
                for (int at = 0; at < 4; at++) sums[at] = add_pairs(sums[at], keys[at].odd, odd);
            }
            Word factors;
            read(scales + first, factors);
            write(scores + first, to_floats(sums_of_segments(sums)) * factors * factors_[query]);
        }
    }

   private:
    PLUGTRON_INLINE static Segment load_channels(const int8_t* from, int count) {
        if (count >= kChannels) return load_segment(from);
        int8_t some[kChannels] = {};
        std::memcpy(some, from, count);
        return load_segment(some);
    }

    // A segment in all places.
    PLUGTRON_INLINE static Shorts spread(const int16_t* from) {
#if PLUGTRON_VNNI
        return reinterpret_cast<Shorts>(_mm512_broadcast_i32x4(load_segment(from)));
#elif PLUGTRON_AVX2
        return reinterpret_cast<Shorts>(_mm256_broadcastsi128_si256(load_segment(from)));
#else
        return reinterpret_cast<Shorts>(load_segment(from));
#endif
    }

    std::vector<Channels, Aligned<Channels>> keys_;
    std::vector<int16_t, Aligned<int16_t>> queries_, row_;
    std::vector<float> factors_;
    int stride_ = 0;
};

}  // namespace plugtron
