// GF(2^8) with polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D): the field of ISA-L, md and most Reed-Solomon libraries.
#pragma once
#include <cstdint>

namespace keelson::gf256 {

// product[a][b] = a * b. 64 KiB, built before the first use and constant from then on.
struct Field {
  uint8_t product[256][256];
  Field();
};

const Field& field();

// Multiplication bit by bit: what the tables and every kernel are held against.
uint8_t multiplySlowly(uint8_t a, uint8_t b);

// The 8x8 bit matrix for gf2p8affineqb that multiplies by c: byte 7 - i holds row i, bit j of it is bit i of c * 2^j.
uint64_t affineMatrix(uint8_t c);

}  // namespace keelson::gf256
