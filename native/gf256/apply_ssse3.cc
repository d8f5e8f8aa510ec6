// Nibble tables through pshufb, 16 bytes at a time. Source: Plank, Greenan and Miller, "Screaming fast Galois field arithmetic", FAST 2013.
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf256/dispatch.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("ssse3")

namespace keelson::gf256 {
namespace {

struct Isa {
  using Vector = __m128i;
  struct Table {
    __m128i low;
    __m128i high;
  };
  using Operand = Table;  // the nibbles of a vector, each in a byte of its own
  static constexpr size_t kBytes = 16;
  // Within 16 registers: sums, nibbles, tables and the mask.
  static constexpr size_t kRows = 3;
  static constexpr int unroll(int rows) { return rows <= 2 ? 4 : 2; }
  static constexpr bool tablesFirst(int rows) { return rows <= 2; }
  static constexpr bool pairs(int) { return false; }
  static Vector load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  static Table loadTable(const Pass& pass, size_t index) {
    const __m128i* at = reinterpret_cast<const __m128i*>(pass.nibbles.data() + index * 32);
    return {_mm_loadu_si128(at), _mm_loadu_si128(at + 1)};
  }
  static Operand operand(Vector value) {
    const __m128i mask = _mm_set1_epi8(15);
    return {_mm_and_si128(value, mask), _mm_and_si128(_mm_srli_epi64(value, 4), mask)};
  }
  static Vector addProduct(Vector sum, Operand value, Table table) {
    return _mm_xor_si128(sum, _mm_xor_si128(_mm_shuffle_epi8(table.low, value.low), _mm_shuffle_epi8(table.high, value.high)));
  }
  static Vector add(Vector a, Vector b) { return _mm_xor_si128(a, b); }
  static Vector zero() { return _mm_setzero_si128(); }
  static void store(uint8_t* to, Vector value) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value); }
  static void stream(uint8_t* to, Vector value) { _mm_stream_si128(reinterpret_cast<__m128i*>(to), value); }
  static void fence() { _mm_sfence(); }
};

}  // namespace

#include "gf256/apply_kernel.h"

void applySsse3(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  runPass(pass, sources, targets, length, options);
}

}  // namespace keelson::gf256

KEELSON_TARGET_POP
#endif
