// The crc32c instructions of ARMv8, three ways at a time; joined by pmull.
#if defined(__aarch64__)
#include <arm_acle.h>
#include <arm_neon.h>

#include <cstring>

#include "crc32c/crc32c.h"
#include "isa_target.h"

#if defined(__clang__)
KEELSON_TARGET_PUSH("crc,aes")
#else
KEELSON_TARGET_PUSH("+crc+crypto")
#endif

namespace keelson::crc32c {
namespace {

struct Isa {
  static uint32_t eight(uint32_t state, uint64_t word) { return __crc32cd(state, word); }
  static uint32_t one(uint32_t state, uint8_t byte) { return __crc32cb(state, byte); }
  static uint64_t multiply(uint32_t a, uint32_t b) { return vgetq_lane_u64(vreinterpretq_u64_p128(vmull_p64(a, b)), 0); }
};

}  // namespace

#include "crc32c/crc_three_way.h"

uint32_t updateArmv8(uint32_t state, const uint8_t* data, size_t length) { return updateThreeWay(state, data, length); }

}  // namespace keelson::crc32c

KEELSON_TARGET_POP
#endif
