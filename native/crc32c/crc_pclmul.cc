// For processors with PCLMULQDQ and without VPCLMULQDQ: a quarter of each stretch is folded, in 128-bit lanes, while the crc32 instruction goes
// through the other three; the two use different units of the processor (docs/decisions/0080).
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "crc32c/crc32c.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("sse4.2,pclmul")

namespace keelson::crc32c {

#include "crc32c/crc_fold.h"

namespace {

// 64 bytes of each quarter at a time: 8 multiplications beside 24 crc32 instructions take about equally long.
constexpr size_t kStepBytes = 64;
constexpr int kLanes = kStepBytes / 16;
// A stretch is four quarters. The shorter one is a block; the longer one joins its quarters less often.
constexpr size_t kShortSteps = 16;
constexpr size_t kLongSteps = 128;

inline uint64_t word(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

inline uint32_t shift(uint32_t state, uint32_t constant) {
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(state)), _mm_cvtsi32_si128(static_cast<int>(constant)), 0);
  return static_cast<uint32_t>(_mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product))));
}

// What carries a state over one, two and three quarters.
struct Shifts {
  uint32_t one;
  uint32_t two;
  uint32_t three;
  explicit Shifts(size_t quarter) : one(powerOfX(8 * quarter - 33)), two(powerOfX(16 * quarter - 33)), three(powerOfX(24 * quarter - 33)) {}
};

template <size_t Steps>
inline uint32_t stretch(uint32_t state, const uint8_t* data, const Shifts& shifts, __m128i byStep, __m128i byLane) {
  constexpr size_t quarter = Steps * kStepBytes;
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
  __m128i lanes[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i++) lanes[i] = loadLane(data + i * 16);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(static_cast<int>(state)));
  const auto crcs = [&](const uint8_t* at) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kStepBytes; i += 8) {
      a = _mm_crc32_u64(a, word(at + quarter + i));
      b = _mm_crc32_u64(b, word(at + 2 * quarter + i));
      c = _mm_crc32_u64(c, word(at + 3 * quarter + i));
    }
  };
  crcs(data);
  for (size_t at = kStepBytes; at < quarter; at += kStepBytes) {
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++) lanes[i] = fold(lanes[i], byStep, loadLane(data + at + i * 16));
    crcs(data + at);
  }
  __m128i lane = lanes[0];
#pragma GCC unroll 4
  for (int i = 1; i < kLanes; i++) lane = fold(lane, byLane, lanes[i]);
  const uint32_t folded = finish(lane, byLane, data, 0);
  return shift(folded, shifts.three) ^ shift(static_cast<uint32_t>(a), shifts.two) ^ shift(static_cast<uint32_t>(b), shifts.one) ^ static_cast<uint32_t>(c);
}

}  // namespace

uint32_t updatePclmul(uint32_t state, const uint8_t* data, size_t length) {
  static const Fold step(kStepBytes * 8);
  static const Fold lane(128);
  static const Shifts shortShifts(kShortSteps * kStepBytes);
  static const Shifts longShifts(kLongSteps * kStepBytes);
  const __m128i byStep = constantsOf(step);
  const __m128i byLane = constantsOf(lane);
  constexpr size_t longBytes = 4 * kLongSteps * kStepBytes;
  constexpr size_t shortBytes = 4 * kShortSteps * kStepBytes;
  for (; length >= longBytes; length -= longBytes, data += longBytes) state = stretch<kLongSteps>(state, data, longShifts, byStep, byLane);
  for (; length >= shortBytes; length -= shortBytes, data += shortBytes) state = stretch<kShortSteps>(state, data, shortShifts, byStep, byLane);
  return length > 0 ? updateSse42(state, data, length) : state;
}

}  // namespace keelson::crc32c

KEELSON_TARGET_POP
#endif
