// The crc32 instruction has a latency of three cycles and one a cycle can start: so three thirds of a stretch run side by side and are
// joined by carry-less multiplication. Source: Gopal et al., "Fast CRC computation for iSCSI polynomial using CRC32 instruction", 2011.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "crc32c/crc32c.h"

#pragma GCC push_options
#pragma GCC target("sse4.2,pclmul")

namespace keelson::crc32c {
namespace {

// Three thirds of 1360 bytes are 4080: with the 8 bytes of the address before it, a block is one long stretch and 24 bytes more.
constexpr size_t kLongThird = 1360;
constexpr size_t kShortThird = 168;

inline uint64_t word(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

// state * x^(8 * bytes): multiplying by x^(8 * bytes - 33) and feeding the 64-bit product to the crc32 instruction, which adds the missing x^33.
inline uint32_t shift(uint32_t state, uint32_t constant) {
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(state)), _mm_cvtsi32_si128(static_cast<int>(constant)), 0);
  return static_cast<uint32_t>(_mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product))));
}

struct Shifts {
  uint32_t one;
  uint32_t two;
  explicit Shifts(size_t third) : one(powerOfX(8 * third - 33)), two(powerOfX(16 * third - 33)) {}
};

template <size_t Third>
inline uint32_t stretch(uint32_t state, const uint8_t* data, const Shifts& shifts) {
  uint64_t a = state;
  uint64_t b = 0;
  uint64_t c = 0;
  for (size_t i = 0; i < Third; i += 8) {
    a = _mm_crc32_u64(a, word(data + i));
    b = _mm_crc32_u64(b, word(data + Third + i));
    c = _mm_crc32_u64(c, word(data + 2 * Third + i));
  }
  return shift(static_cast<uint32_t>(a), shifts.two) ^ shift(static_cast<uint32_t>(b), shifts.one) ^ static_cast<uint32_t>(c);
}

}  // namespace

uint32_t updateSse42(uint32_t state, const uint8_t* data, size_t length) {
  static const Shifts longShifts(kLongThird);
  static const Shifts shortShifts(kShortThird);
  for (; length >= 3 * kLongThird; length -= 3 * kLongThird, data += 3 * kLongThird) state = stretch<kLongThird>(state, data, longShifts);
  for (; length >= 3 * kShortThird; length -= 3 * kShortThird, data += 3 * kShortThird) state = stretch<kShortThird>(state, data, shortShifts);
  uint64_t wide = state;
  for (; length >= 8; length -= 8, data += 8) wide = _mm_crc32_u64(wide, word(data));
  state = static_cast<uint32_t>(wide);
  for (; length > 0; length--, data++) state = _mm_crc32_u8(state, *data);
  return state;
}

}  // namespace keelson::crc32c

#pragma GCC pop_options
#endif
