// Nibble tables through vpshufb, 32 bytes at a time.
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf256/dispatch.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("avx2")

namespace keelson::gf256 {
namespace {

struct Isa {
  using Vector = __m256i;
  struct Table {
    __m256i low;
    __m256i high;
  };
  using Operand = Table;  // the nibbles of a vector, each in a byte of its own
  static constexpr size_t kBytes = 32;
  static constexpr size_t kRows = 4;
  // Whole lines of 64 bytes; sums, nibbles, tables and the mask fill the 16 registers.
  static constexpr int unroll(int rows) { return rows <= 2 ? 4 : 2; }
  static constexpr bool tablesFirst(int rows) { return rows <= 2; }
  static constexpr bool pairs(int) { return false; }
  static Table loadTable(const Pass& pass, size_t index) {
    const __m128i* at = reinterpret_cast<const __m128i*>(pass.nibbles.data() + index * 32);
    return {_mm256_broadcastsi128_si256(_mm_loadu_si128(at)), _mm256_broadcastsi128_si256(_mm_loadu_si128(at + 1))};
  }
  static Operand operand(Vector value) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(value, mask), _mm256_and_si256(_mm256_srli_epi64(value, 4), mask)};
  }
  static Vector addProduct(Vector sum, Operand value, Table table) {
    return _mm256_xor_si256(sum, _mm256_xor_si256(_mm256_shuffle_epi8(table.low, value.low), _mm256_shuffle_epi8(table.high, value.high)));
  }
  static Vector load(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Vector add(Vector a, Vector b) { return _mm256_xor_si256(a, b); }
  static Vector zero() { return _mm256_setzero_si256(); }
  static void store(uint8_t* to, Vector value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value); }
  static void stream(uint8_t* to, Vector value) { _mm256_stream_si256(reinterpret_cast<__m256i*>(to), value); }
  static void fence() { _mm_sfence(); }
};

}  // namespace

#include "gf256/apply_kernel.h"

void applyAvx2(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  runPass(pass, sources, targets, length, options);
}

}  // namespace keelson::gf256

KEELSON_TARGET_POP
#endif
