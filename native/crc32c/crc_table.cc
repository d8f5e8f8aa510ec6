// The reference: slicing by eight. Source: Kounavis and Berry, "Novel table lookup-based algorithms for high-performance CRC generation", 2008.
#include <cstring>

#include "crc32c/crc32c.h"

namespace keelson::crc32c {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;

struct Tables {
  uint32_t slice[8][256];
  Tables() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
      slice[0][i] = value;
    }
    for (int t = 1; t < 8; t++) {
      for (uint32_t i = 0; i < 256; i++) slice[t][i] = (slice[t - 1][i] >> 8) ^ slice[0][slice[t - 1][i] & 0xFF];
    }
  }
};

}  // namespace

uint32_t updateTable(uint32_t state, const uint8_t* data, size_t length) {
  static const Tables tables;
  const auto& t = tables.slice;
  for (; length >= 8; length -= 8, data += 8) {
    uint32_t low;
    uint32_t high;
    std::memcpy(&low, data, 4);
    std::memcpy(&high, data + 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "little-endian hosts only: every number of the format is"
#endif
    low ^= state;
    state = t[7][low & 0xFF] ^ t[6][(low >> 8) & 0xFF] ^ t[5][(low >> 16) & 0xFF] ^ t[4][low >> 24] ^ t[3][high & 0xFF] ^
            t[2][(high >> 8) & 0xFF] ^ t[1][(high >> 16) & 0xFF] ^ t[0][high >> 24];
  }
  for (; length > 0; length--, data++) state = (state >> 8) ^ t[0][(state ^ *data) & 0xFF];
  return state;
}

uint32_t powerOfX(uint64_t n) {
  uint32_t value = 0x80000000;  // x^0: in reflected order the highest bit is the lowest power
  for (uint64_t i = 0; i < n; i++) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
  return value;
}

}  // namespace keelson::crc32c
