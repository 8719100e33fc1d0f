// AVX-512 in plain C++, for kernels that are tested on processors without it: takes the place of the compiler's header.
// What each function does is in Intel's Intrinsics Guide. Sums are in an order of their own, so only integers are exact.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

typedef float __m512 __attribute__((vector_size(64), aligned(64)));
typedef long long __m512i __attribute__((vector_size(64), aligned(64)));
typedef long long __m256i __attribute__((vector_size(32), aligned(32)));
typedef long long __m128i __attribute__((vector_size(16), aligned(16)));
typedef short __m512bh __attribute__((vector_size(64), aligned(64)));

namespace emulated {
template <class To, class From>
inline To as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}
template <class T, int N>
struct Array { T at[N]; };
using Floats = Array<float, 16>;
using Ints = Array<int32_t, 16>;
using Bytes = Array<uint8_t, 64>;
using Shorts = Array<uint16_t, 16>;
}  // namespace emulated

inline void _mm_pause() {}
inline __m512 _mm512_setzero_ps() { return __m512{}; }
inline __m512i _mm512_setzero_si512() { return __m512i{}; }
inline __m512 _mm512_set1_ps(float value) { return __m512{} + value; }
inline __m512 _mm512_loadu_ps(const void* from) { return emulated::as<__m512>(*static_cast<const emulated::Floats*>(from)); }
inline __m512i _mm512_loadu_si512(const void* from) { return emulated::as<__m512i>(*static_cast<const emulated::Ints*>(from)); }
inline __m256i _mm256_loadu_si256(const __m256i* from) {
    __m256i to;
    std::memcpy(&to, from, sizeof(to));
    return to;
}
inline __m128i _mm_loadu_si128(const __m128i* from) {
    __m128i to;
    std::memcpy(&to, from, sizeof(to));
    return to;
}
inline __m512i _mm512_broadcast_i32x4(__m128i a) {
    return emulated::as<__m512i>(emulated::Array<__m128i, 4>{{a, a, a, a}});
}
inline __m512i _mm512_castsi128_si512(__m128i a) {
    return emulated::as<__m512i>(emulated::Array<__m128i, 4>{{a}});
}
inline __m512i _mm512_inserti32x4(__m512i a, __m128i b, int place) {
    auto to = emulated::as<emulated::Array<__m128i, 4>>(a);
    to.at[place] = b;
    return emulated::as<__m512i>(to);
}
inline __m512i _mm512_shuffle_epi8(__m512i a, __m512i places) {
    const emulated::Bytes from = emulated::as<emulated::Bytes>(a);
    emulated::Bytes to = emulated::as<emulated::Bytes>(places);
    for (int at = 0; at < 64; at++) to.at[at] = to.at[at] & 128 ? 0 : from.at[at / 16 * 16 + to.at[at] % 16];
    return emulated::as<__m512i>(to);
}
inline __m512i _mm512_cvtepu8_epi32(__m128i a) {
    const emulated::Array<uint8_t, 16> from = emulated::as<emulated::Array<uint8_t, 16>>(a);
    emulated::Ints to;
    for (int at = 0; at < 16; at++) to.at[at] = from.at[at];
    return emulated::as<__m512i>(to);
}
inline __m512i _mm512_cvtepi8_epi32(__m128i a) {
    const emulated::Array<int8_t, 16> from = emulated::as<emulated::Array<int8_t, 16>>(a);
    emulated::Ints to;
    for (int at = 0; at < 16; at++) to.at[at] = from.at[at];
    return emulated::as<__m512i>(to);
}
inline __m512i _mm512_set1_epi32(int32_t value) {
    emulated::Ints all;
    for (int32_t& one : all.at) one = value;
    return emulated::as<__m512i>(all);
}
inline __m512i _mm512_set1_epi8(char value) {
    emulated::Bytes all;
    for (uint8_t& one : all.at) one = static_cast<uint8_t>(value);
    return emulated::as<__m512i>(all);
}
inline __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
inline __m512i _mm512_or_si512(__m512i a, __m512i b) { return a | b; }
inline __m512i _mm512_slli_epi16(__m512i a, int count) {
    emulated::Array<uint16_t, 32> all = emulated::as<decltype(all)>(a);
    for (uint16_t& one : all.at) one = static_cast<uint16_t>(one << count);
    return emulated::as<__m512i>(all);
}
inline __m512i _mm512_srli_epi16(__m512i a, int count) {
    emulated::Array<uint16_t, 32> all = emulated::as<decltype(all)>(a);
    for (uint16_t& one : all.at) one = static_cast<uint16_t>(one >> count);
    return emulated::as<__m512i>(all);
}
inline __m512 _mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
inline __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
    emulated::Floats x = emulated::as<emulated::Floats>(a), y = emulated::as<emulated::Floats>(b),
                     z = emulated::as<emulated::Floats>(c);
    for (int at = 0; at < 16; at++) z.at[at] = std::fma(x.at[at], y.at[at], z.at[at]);
    return emulated::as<__m512>(z);
}
inline __m512 _mm512_cvtepi32_ps(__m512i a) {
    const emulated::Ints from = emulated::as<emulated::Ints>(a);
    emulated::Floats to;
    for (int at = 0; at < 16; at++) to.at[at] = static_cast<float>(from.at[at]);
    return emulated::as<__m512>(to);
}
inline __m512i _mm512_cvtepu16_epi32(__m256i a) {
    const emulated::Shorts from = emulated::as<emulated::Shorts>(a);
    emulated::Ints to;
    for (int at = 0; at < 16; at++) to.at[at] = from.at[at];
    return emulated::as<__m512i>(to);
}
inline __m512 _mm512_cvtph_ps(__m256i a) {
    const emulated::Array<_Float16, 16> from = emulated::as<emulated::Array<_Float16, 16>>(a);
    emulated::Floats to;
    for (int at = 0; at < 16; at++) to.at[at] = static_cast<float>(from.at[at]);
    return emulated::as<__m512>(to);
}
inline __m512i _mm512_dpbusd_epi32(__m512i sums, __m512i unsigned_bytes, __m512i signed_bytes) {
    emulated::Ints to = emulated::as<emulated::Ints>(sums);
    const emulated::Bytes a = emulated::as<emulated::Bytes>(unsigned_bytes), b = emulated::as<emulated::Bytes>(signed_bytes);
    for (int at = 0; at < 64; at++) to.at[at / 4] += a.at[at] * static_cast<int8_t>(b.at[at]);
    return emulated::as<__m512i>(to);
}
inline __m512i _mm512_dpwssd_epi32(__m512i sums, __m512i a, __m512i b) {
    emulated::Ints to = emulated::as<emulated::Ints>(sums);
    const auto x = emulated::as<emulated::Array<int16_t, 32>>(a), y = emulated::as<emulated::Array<int16_t, 32>>(b);
    for (int at = 0; at < 32; at++) to.at[at / 2] += x.at[at] * y.at[at];
    return emulated::as<__m512i>(to);
}
inline __m512 _mm512_dpbf16_ps(__m512 sums, __m512bh a, __m512bh b) {
    emulated::Floats to = emulated::as<emulated::Floats>(sums);
    const auto x = emulated::as<emulated::Array<uint16_t, 32>>(a), y = emulated::as<emulated::Array<uint16_t, 32>>(b);
    for (int at = 0; at < 32; at++)
        to.at[at / 2] += emulated::as<float>(x.at[at] << 16) * emulated::as<float>(y.at[at] << 16);
    return emulated::as<__m512>(to);
}
