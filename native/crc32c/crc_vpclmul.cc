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

// How a register gets its bytes.
enum class Take { read, copy, stream };

template <Take take>
inline __m512i load(const uint8_t* at, uint8_t* to) {
  const __m512i value = _mm512_loadu_si512(at);
  if constexpr (take == Take::copy) _mm512_storeu_si512(to, value);
  if constexpr (take == Take::stream) _mm512_stream_si512(reinterpret_cast<__m512i*>(to), value);
  return value;
}

// 256 bytes or more, and a multiple of 64 when they are copied.
template <Take take>
uint32_t foldAll(uint32_t state, const uint8_t* data, uint8_t* to, size_t length) {
  static const Fold by256(2048);
  static const Fold by64(512);
  static const Fold by16(128);
  __m512i a = _mm512_xor_si512(load<take>(data, to), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state))));
  __m512i b = load<take>(data + 64, to + 64);
  __m512i c = load<take>(data + 128, to + 128);
  __m512i d = load<take>(data + 192, to + 192);
  size_t at = 256;
  const __m512i far = _mm512_broadcast_i32x4(constantsOf(by256));
  for (; at + 256 <= length; at += 256) {
    a = foldWide(a, far, load<take>(data + at, to + at));
    b = foldWide(b, far, load<take>(data + at + 64, to + at + 64));
    c = foldWide(c, far, load<take>(data + at + 128, to + at + 128));
    d = foldWide(d, far, load<take>(data + at + 192, to + at + 192));
  }
  const __m512i near = _mm512_broadcast_i32x4(constantsOf(by64));
  a = foldWide(a, near, b);
  a = foldWide(a, near, c);
  a = foldWide(a, near, d);
  for (; at + 64 <= length; at += 64) a = foldWide(a, near, load<take>(data + at, to + at));
  const __m128i next = constantsOf(by16);
  __m128i lane = _mm512_castsi512_si128(a);
  lane = fold(lane, next, _mm512_extracti32x4_epi32(a, 1));
  lane = fold(lane, next, _mm512_extracti32x4_epi32(a, 2));
  lane = fold(lane, next, _mm512_extracti32x4_epi32(a, 3));
  return finish(lane, next, data + at, length - at);
}

}  // namespace

uint32_t updateVpclmul(uint32_t state, const uint8_t* data, size_t length) {
  return length < 256 ? updateSse42(state, data, length) : foldAll<Take::read>(state, data, nullptr, length);
}

uint32_t copyBlockVpclmul(uint32_t state, const uint8_t* from, uint8_t* to, bool stream) {
  if (!stream || reinterpret_cast<uintptr_t>(to) % 64 != 0) return foldAll<Take::copy>(state, from, to, kBlockBytes);
  const uint32_t result = foldAll<Take::stream>(state, from, to, kBlockBytes);
  // What was streamed is visible before the caller's next store, as ordinary stores are.
  _mm_sfence();
  return result;
}

}  // namespace keelson::crc32c

KEELSON_TARGET_POP
#endif
