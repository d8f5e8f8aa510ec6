// Nibble tables through vpshufb, 64 bytes at a time: for processors with AVX-512 (BW, VL) and without GFNI.
#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // gcc 12: _mm512_undefined_epi32 inside its own header
#endif
#include <immintrin.h>

#include "gf256/dispatch.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("avx512f,avx512bw,avx512vl")

namespace keelson::gf256 {
namespace {

struct Isa {
  using Vector = __m512i;
  struct Table {
    __m512i low;
    __m512i high;
  };
  using Operand = Table;  // the nibbles of a vector, each in a byte of its own
  static constexpr size_t kBytes = 64;
  static constexpr size_t kRows = 4;
  // Sums, nibbles, tables and the mask within 32 registers.
  static constexpr int unroll(int) { return 4; }
  static constexpr bool tablesFirst(int) { return false; }
  static constexpr bool pairs(int) { return false; }
  static Vector load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static Table loadTable(const Pass& pass, size_t index) {
    const __m128i* at = reinterpret_cast<const __m128i*>(pass.nibbles.data() + index * 32);
    return {_mm512_broadcast_i32x4(_mm_loadu_si128(at)), _mm512_broadcast_i32x4(_mm_loadu_si128(at + 1))};
  }
  static Operand operand(Vector value) {
    const __m512i mask = _mm512_set1_epi8(15);
    return {_mm512_and_si512(value, mask), _mm512_and_si512(_mm512_srli_epi64(value, 4), mask)};
  }
  static Vector addProduct(Vector sum, Operand value, Table table) {
    return _mm512_ternarylogic_epi64(sum, _mm512_shuffle_epi8(table.low, value.low), _mm512_shuffle_epi8(table.high, value.high), 0x96);
  }
  static Vector add(Vector a, Vector b) { return _mm512_xor_si512(a, b); }
  static Vector zero() { return _mm512_setzero_si512(); }
  static void store(uint8_t* to, Vector value) { _mm512_storeu_si512(to, value); }
  static void stream(uint8_t* to, Vector value) { _mm512_stream_si512(reinterpret_cast<__m512i*>(to), value); }
  static void fence() { _mm_sfence(); }
};

}  // namespace

#include "gf256/apply_kernel.h"

void applyAvx512(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  runPass(pass, sources, targets, length, options);
}

}  // namespace keelson::gf256

KEELSON_TARGET_POP
#endif
