// Folding with carry-less multiplication, four 64-byte registers at a time; the last 128 bits go through the crc32 instruction.
// Source: Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ", Intel, 2009.
#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // gcc 12: _mm_undefined_si128 inside its own header
#include <immintrin.h>

#include "crc32c/crc32c.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,vpclmulqdq,sse4.2,pclmul")

namespace keelson::crc32c {
namespace {

// Multipliers that carry a 128-bit lane `bits` further: its first half counts 64 bits more. The product of two reflected 64-bit numbers
// stands one bit low, and a constant in the low 32 bits 32 bits low: hence the 33.
struct Fold {
  uint64_t first;
  uint64_t second;
  explicit Fold(uint64_t bits) : first(powerOfX(bits + 64 - 33)), second(powerOfX(bits - 33)) {}
};

inline __m512i fold(__m512i value, __m512i constants, __m512i next) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, constants, 0x00), _mm512_clmulepi64_epi128(value, constants, 0x11), next, 0x96);
}

inline __m128i fold(__m128i value, const Fold& by, __m128i next) {
  const __m128i constants = _mm_set_epi64x(static_cast<long long>(by.second), static_cast<long long>(by.first));
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(value, constants, 0x00), _mm_clmulepi64_si128(value, constants, 0x11)), next);
}

inline __m512i wide(const Fold& by) {
  return _mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(by.second), static_cast<long long>(by.first)));
}

inline __m512i load(const uint8_t* at) { return _mm512_loadu_si512(at); }

}  // namespace

uint32_t updateVpclmul(uint32_t state, const uint8_t* data, size_t length) {
  static const Fold by256(2048);
  static const Fold by64(512);
  static const Fold by16(128);
  if (length < 256) return updateSse42(state, data, length);
  __m512i a = _mm512_xor_si512(load(data), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state))));
  __m512i b = load(data + 64);
  __m512i c = load(data + 128);
  __m512i d = load(data + 192);
  data += 256;
  length -= 256;
  const __m512i far = wide(by256);
  for (; length >= 256; length -= 256, data += 256) {
    a = fold(a, far, load(data));
    b = fold(b, far, load(data + 64));
    c = fold(c, far, load(data + 128));
    d = fold(d, far, load(data + 192));
  }
  const __m512i near = wide(by64);
  a = fold(a, near, b);
  a = fold(a, near, c);
  a = fold(a, near, d);
  for (; length >= 64; length -= 64, data += 64) a = fold(a, near, load(data));
  __m128i lane = _mm512_castsi512_si128(a);
  lane = fold(lane, by16, _mm512_extracti32x4_epi32(a, 1));
  lane = fold(lane, by16, _mm512_extracti32x4_epi32(a, 2));
  lane = fold(lane, by16, _mm512_extracti32x4_epi32(a, 3));
  for (; length >= 16; length -= 16, data += 16) lane = fold(lane, by16, _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)));
  uint64_t rest = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(lane)));
  rest = _mm_crc32_u64(rest, static_cast<uint64_t>(_mm_extract_epi64(lane, 1)));
  return length > 0 ? updateSse42(static_cast<uint32_t>(rest), data, length) : static_cast<uint32_t>(rest);
}

}  // namespace keelson::crc32c

#pragma GCC pop_options
#endif
