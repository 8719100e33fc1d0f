// Sixteen floats side by side, for any processor: one register, or halves of halves until they fit one.
//
// Everything here rounds as it is written: kernels are compiled without contraction, and where a product is to be added
// in one rounding, `fused` says so. So a number's bits do not depend on how a compiler arranged the loop around it.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace plugtron {

// Sixteen floats to a register only where products of int8 are that wide too: AVX-512 without VNNI runs as AVX2.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define PLUGTRON_VNNI 1
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PLUGTRON_AVX2 1
#endif

// What is an instruction or two is never called: compilers have their limits to what they inline by themselves.
#define PLUGTRON_INLINE [[gnu::always_inline]] inline

constexpr int kLanes = 16;

#if PLUGTRON_VNNI
constexpr int kWord = 16;
#elif PLUGTRON_AVX2
constexpr int kWord = 8;
#else
constexpr int kWord = 4;
#endif

// What one register holds.
typedef float Word __attribute__((vector_size(4 * kWord), aligned(4 * kWord)));
typedef int32_t Ints __attribute__((vector_size(4 * kWord), aligned(4 * kWord)));
typedef uint16_t Halves __attribute__((vector_size(2 * kWord), aligned(2 * kWord)));
typedef float Four __attribute__((vector_size(16), aligned(16)));
typedef int32_t FourInts __attribute__((vector_size(16), aligned(16)));

template <class Half>
struct Pair {
    Half low, high;
};

template <int WORDS>
struct LaneOf;
template <>
struct LaneOf<1> { typedef Word type; };
template <int WORDS>
struct LaneOf { typedef Pair<typename LaneOf<WORDS / 2>::type> type; };
using Lane = LaneOf<kLanes / kWord>::type;

// Operations on a word, and the same on pairs.

PLUGTRON_INLINE Word fused(Word total, Word a, Word b) {
#if PLUGTRON_VNNI
    return _mm512_fmadd_ps(a, b, total);
#elif PLUGTRON_AVX2
    return _mm256_fmadd_ps(a, b, total);
#else
    return total + a * b;
#endif
}

PLUGTRON_INLINE Word greater(Word a, Word b) { return a < b ? b : a; }
PLUGTRON_INLINE Word smaller(Word a, Word b) { return b < a ? b : a; }
PLUGTRON_INLINE Word absolute(Word a) { return a < 0.0f ? -a : a; }
// Where a number is above a bound, one thing, and elsewhere another.
PLUGTRON_INLINE Word where_above(Word value, Word bound, Word then, Word otherwise) {
    return value > bound ? then : otherwise;
}
// What was there, or 1 where a number is none.
PLUGTRON_INLINE Word note_nan(Word noted, Word value) { return value == value ? noted : Word{} + 1.0f; }
// Where a bit is set, the lowest being the first number's.
PLUGTRON_INLINE Word where_set(unsigned bits, Word then, Word otherwise) {
    Ints own;
    for (int at = 0; at < kWord; at++) own[at] = 1 << at;
    return ((Ints{} + int32_t(bits)) & own) != 0 ? then : otherwise;
}
PLUGTRON_INLINE void read(const float* from, Word& to) { std::memcpy(&to, from, sizeof(to)); }
PLUGTRON_INLINE void write(float* to, Word from) { std::memcpy(to, &from, sizeof(from)); }
// Nothing is taken away: adding to zero would be a sum, because of the sign of zero.
PLUGTRON_INLINE void fill(float value, Word& to) { to = value - Word{}; }

// bfloat16 as float.
PLUGTRON_INLINE void read(const uint16_t* from, Word& to) {
    Halves halves;
    std::memcpy(&halves, from, sizeof(halves));
#if PLUGTRON_VNNI
    // One instruction, which compilers do not see in the general form.
    const Ints bits = reinterpret_cast<Ints>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(halves))) << 16;
#elif PLUGTRON_AVX2
    const Ints bits = reinterpret_cast<Ints>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(halves))) << 16;
#else
    const Ints bits = __builtin_convertvector(halves, Ints) << 16;
#endif
    to = reinterpret_cast<Word>(bits);
}

// Bytes as half the powers of 2 that they are the exponents of, plus 127.
PLUGTRON_INLINE void read_half_powers(const uint8_t* from, Word& to) {
#if PLUGTRON_VNNI
    Ints bits = reinterpret_cast<Ints>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif PLUGTRON_AVX2
    Ints bits = reinterpret_cast<Ints>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
    Ints bits;
    for (int at = 0; at < kWord; at++) bits[at] = from[at];
#endif
    bits = bits << 23;
    // The least of them is below the normal numbers.
    const Ints least = Ints{} + 0x400000;
    bits = bits < least ? least : bits;
    to = reinterpret_cast<Word>(bits) * 0.5f;
}

// float16 as float.
PLUGTRON_INLINE void read_halves(const uint8_t* from, Word& to) {
#if PLUGTRON_VNNI
    to = reinterpret_cast<Word>(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
#elif PLUGTRON_AVX2
    to = reinterpret_cast<Word>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
    for (int at = 0; at < kWord; at++) {
        uint16_t half;
        std::memcpy(&half, from + 2 * at, 2);
        const uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 1023u;
        const uint32_t bits = sign | ((exponent == 31 ? 255u : exponent + 112u) << 23) | (fraction << 13);
        float value;
        std::memcpy(&value, &bits, 4);
        const float small = static_cast<float>(fraction) * 5.9604644775390625e-8f;
        to[at] = exponent != 0 ? value : sign ? -small : small;
    }
#endif
}

// Signed bytes as float.
PLUGTRON_INLINE void read(const int8_t* from, Word& to) {
#if PLUGTRON_VNNI
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    to = reinterpret_cast<Word>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
#elif PLUGTRON_AVX2
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    to = reinterpret_cast<Word>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
#else
    for (int at = 0; at < kWord; at++) to[at] = static_cast<float>(from[at]);
#endif
}

// Sixteen pairs of bfloat16: the even and the odd ones as float.
PLUGTRON_INLINE void read_pairs(const uint8_t* from, Word& even, Word& odd) {
    Ints both;
    std::memcpy(&both, from, sizeof(both));
    even = reinterpret_cast<Word>(both << 16);
    odd = reinterpret_cast<Word>(both & static_cast<int32_t>(0xffff0000));
}

#define PLUGTRON_PAIRWISE(name)                                             \
    template <class H> PLUGTRON_INLINE Pair<H> name(Pair<H> a, Pair<H> b) { \
        return {name(a.low, b.low), name(a.high, b.high)};                  \
    }
PLUGTRON_PAIRWISE(greater)
PLUGTRON_PAIRWISE(smaller)
#undef PLUGTRON_PAIRWISE
#define PLUGTRON_OPERATOR(sign)                                                      \
    template <class H> PLUGTRON_INLINE Pair<H> operator sign(Pair<H> a, Pair<H> b) { \
        return {a.low sign b.low, a.high sign b.high};                               \
    }                                                                                \
    template <class H> PLUGTRON_INLINE Pair<H> operator sign(Pair<H> a, float b) {   \
        return {a.low sign b, a.high sign b};                                        \
    }
PLUGTRON_OPERATOR(+)
PLUGTRON_OPERATOR(-)
PLUGTRON_OPERATOR(*)
PLUGTRON_OPERATOR(/)
#undef PLUGTRON_OPERATOR

template <class H> PLUGTRON_INLINE Pair<H> absolute(Pair<H> a) { return {absolute(a.low), absolute(a.high)}; }
template <class H> PLUGTRON_INLINE Pair<H> fused(Pair<H> total, Pair<H> a, Pair<H> b) {
    return {fused(total.low, a.low, b.low), fused(total.high, a.high, b.high)};
}
template <class H> PLUGTRON_INLINE Pair<H> where_above(Pair<H> value, Pair<H> bound, Pair<H> then, Pair<H> otherwise) {
    return {
        where_above(value.low, bound.low, then.low, otherwise.low),
        where_above(value.high, bound.high, then.high, otherwise.high)};
}
template <class H> PLUGTRON_INLINE Pair<H> note_nan(Pair<H> noted, Pair<H> value) {
    return {note_nan(noted.low, value.low), note_nan(noted.high, value.high)};
}
template <class H> PLUGTRON_INLINE Pair<H> where_set(unsigned bits, Pair<H> then, Pair<H> otherwise) {
    return {
        where_set(bits, then.low, otherwise.low),
        where_set(bits >> (sizeof(H) / sizeof(float)), then.high, otherwise.high)};
}
template <class T, class H> PLUGTRON_INLINE void read(const T* from, Pair<H>& to) {
    read(from, to.low);
    read(from + sizeof(H) / sizeof(float), to.high);
}
template <class H> PLUGTRON_INLINE void read_half_powers(const uint8_t* from, Pair<H>& to) {
    read_half_powers(from, to.low);
    read_half_powers(from + sizeof(H) / sizeof(float), to.high);
}
template <class H> PLUGTRON_INLINE void read_halves(const uint8_t* from, Pair<H>& to) {
    read_halves(from, to.low);
    read_halves(from + sizeof(H) / 2, to.high);
}
template <class H> PLUGTRON_INLINE void read_pairs(const uint8_t* from, Pair<H>& even, Pair<H>& odd) {
    read_pairs(from, even.low, odd.low);
    read_pairs(from + sizeof(H), even.high, odd.high);
}
template <class H> PLUGTRON_INLINE void write(float* to, Pair<H> from) {
    write(to, from.low);
    write(to + sizeof(H) / sizeof(float), from.high);
}
template <class H> PLUGTRON_INLINE void fill(float value, Pair<H>& to) {
    fill(value, to.low);
    fill(value, to.high);
}

PLUGTRON_INLINE Lane lane_of(float value) {
    Lane lane;
    fill(value, lane);
    return lane;
}

// Sixteen numbers of memory: floats, bfloat16 or int8.
template <class Stored>
PLUGTRON_INLINE Lane load_lane(const Stored* from) {
    Lane lane;
    read(from, lane);
    return lane;
}

PLUGTRON_INLINE Lane load_half_powers(const uint8_t* from) {
    Lane lane;
    read_half_powers(from, lane);
    return lane;
}

PLUGTRON_INLINE Lane load_halves(const uint8_t* from) {
    Lane lane;
    read_halves(from, lane);
    return lane;
}

// The first `count` of them, where they are not all that a lane or a word holds; what is beyond is zero.
template <class Whole, class Stored>
[[gnu::noinline]] Whole load_some(const Stored* from, int count) {
    Stored some[sizeof(Whole) / sizeof(float)] = {};
    std::memcpy(some, from, sizeof(Stored) * count);
    Whole whole;
    read(some, whole);
    return whole;
}

template <class Stored>
PLUGTRON_INLINE Lane load_lane(const Stored* from, int count) {
    return count >= kLanes ? load_lane(from) : load_some<Lane>(from, count);
}

template <class Stored>
PLUGTRON_INLINE Word load_word(const Stored* from, int count) {
    if (count < kWord) return load_some<Word>(from, count);
    Word word;
    read(from, word);
    return word;
}

[[gnu::noinline]] inline void store_some(float* to, const Lane& lane, int count) {
    float some[kLanes];
    write(some, lane);
    std::memcpy(to, some, sizeof(float) * count);
}

PLUGTRON_INLINE void store_lane(float* to, const Lane& lane, int count) {
    if (count >= kLanes) return write(to, lane);
    store_some(to, lane, count);
}

// A lane merged half with half until one number is left: always in the same order.
template <class Merge>
inline float fold(const Lane& lane, Merge merge) {
    Four parts[kLanes / 4];
    static_assert(sizeof(parts) == sizeof(lane));
    std::memcpy(parts, &lane, sizeof(lane));
    const Four four = merge(merge(parts[0], parts[2]), merge(parts[1], parts[3]));
    const Four two = merge(four, Four{four[2], four[3]});
    return merge(two, Four{two[1]})[0];
}

inline float sum_of(const Lane& lane) {
    return fold(lane, [](Four a, Four b) { return a + b; });
}

inline float greatest_of(const Lane& lane) {
    return fold(lane, [](Four a, Four b) { return a < b ? b : a; });
}

// Numbers of two registers shuffled, the places being integers of type `numbers`: compilers have two names for it.
#if defined(__clang__)
#define PLUGTRON_SHUFFLE(numbers, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PLUGTRON_SHUFFLE(numbers, a, b, ...) __builtin_shuffle(a, b, (numbers){__VA_ARGS__})
#endif

// A word added up to four numbers, half and half.
PLUGTRON_INLINE Four four_of(Word word) {
    Four parts[kWord / 4];
    std::memcpy(parts, &word, sizeof(word));
    for (int width = kWord / 8; width > 0; width /= 2)
        for (int at = 0; at < width; at++) parts[at] = parts[at] + parts[at + width];
    return parts[0];
}

// The sums of four words.
PLUGTRON_INLINE Four sums_of(const Word* words) {
    Four some[4];
    for (int at = 0; at < 4; at++) some[at] = four_of(words[at]);
    const Four a = PLUGTRON_SHUFFLE(FourInts, some[0], some[1], 0, 4, 1, 5) + PLUGTRON_SHUFFLE(FourInts, some[0], some[1], 2, 6, 3, 7);
    const Four b = PLUGTRON_SHUFFLE(FourInts, some[2], some[3], 0, 4, 1, 5) + PLUGTRON_SHUFFLE(FourInts, some[2], some[3], 2, 6, 3, 7);
    return PLUGTRON_SHUFFLE(FourInts, a, b, 0, 1, 4, 5) + PLUGTRON_SHUFFLE(FourInts, a, b, 2, 3, 6, 7);
}

}  // namespace plugtron
