#include "gf256/field.h"

namespace keelson::gf256 {

uint8_t multiplySlowly(uint8_t a, uint8_t b) {
  unsigned shifted = a;
  unsigned result = 0;
  for (int bit = 0; bit < 8; bit++) {
    if ((b >> bit) & 1) result ^= shifted;
    shifted <<= 1;
    if (shifted & 0x100) shifted ^= 0x11D;
  }
  return static_cast<uint8_t>(result);
}

Field::Field() {
  for (int a = 0; a < 256; a++) {
    for (int b = 0; b < 256; b++) product[a][b] = multiplySlowly(static_cast<uint8_t>(a), static_cast<uint8_t>(b));
  }
}

const Field& field() {
  static const Field instance;
  return instance;
}

uint64_t affineMatrix(uint8_t c) {
  uint64_t matrix = 0;
  for (int j = 0; j < 8; j++) {
    const uint8_t column = multiplySlowly(c, static_cast<uint8_t>(1 << j));
    for (int i = 0; i < 8; i++) {
      if ((column >> i) & 1) matrix |= uint64_t{1} << (8 * (7 - i) + j);
    }
  }
  return matrix;
}

}  // namespace keelson::gf256
