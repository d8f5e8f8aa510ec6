// The crc32 instruction of SSE4.2, three ways at a time.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "crc32c/crc32c.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("sse4.2,pclmul")

namespace keelson::crc32c {
namespace {

struct Isa {
  static uint32_t eight(uint32_t state, uint64_t word) { return static_cast<uint32_t>(_mm_crc32_u64(state, word)); }
  static uint32_t one(uint32_t state, uint8_t byte) { return _mm_crc32_u8(state, byte); }
  static uint64_t multiply(uint32_t a, uint32_t b) {
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(a)), _mm_cvtsi32_si128(static_cast<int>(b)), 0);
    return static_cast<uint64_t>(_mm_cvtsi128_si64(product));
  }
};

}  // namespace

#include "crc32c/crc_three_way.h"

uint32_t updateSse42(uint32_t state, const uint8_t* data, size_t length) { return updateThreeWay(state, data, length); }

}  // namespace keelson::crc32c

KEELSON_TARGET_POP
#endif
