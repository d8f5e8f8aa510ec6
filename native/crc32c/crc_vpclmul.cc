// Folding four 64-byte registers at a time.
#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // gcc 12: _mm_undefined_si128 inside its own header
#endif
#include <immintrin.h>

#include "crc32c/crc32c.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("avx512f,avx512bw,avx512vl,vpclmulqdq,sse4.2,pclmul")

namespace keelson::crc32c {

#include "crc32c/crc_fold.h"

namespace {

inline __m512i foldWide(__m512i value, __m512i constants, __m512i next) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, constants, 0x00), _mm512_clmulepi64_epi128(value, constants, 0x11), next, 0x96);
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
  const __m512i far = _mm512_broadcast_i32x4(constantsOf(by256));
  for (; length >= 256; length -= 256, data += 256) {
    a = foldWide(a, far, load(data));
    b = foldWide(b, far, load(data + 64));
    c = foldWide(c, far, load(data + 128));
    d = foldWide(d, far, load(data + 192));
  }
  const __m512i near = _mm512_broadcast_i32x4(constantsOf(by64));
  a = foldWide(a, near, b);
  a = foldWide(a, near, c);
  a = foldWide(a, near, d);
  for (; length >= 64; length -= 64, data += 64) a = foldWide(a, near, load(data));
  const __m128i next = constantsOf(by16);
  __m128i lane = _mm512_castsi512_si128(a);
  lane = fold(lane, next, _mm512_extracti32x4_epi32(a, 1));
  lane = fold(lane, next, _mm512_extracti32x4_epi32(a, 2));
  lane = fold(lane, next, _mm512_extracti32x4_epi32(a, 3));
  return finish(lane, next, data, length);
}

}  // namespace keelson::crc32c

KEELSON_TARGET_POP
#endif
