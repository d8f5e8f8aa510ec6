// One gf2p8affineqb multiplies 32 bytes by any constant in any GF(2^8), through the constant's 8x8 bit matrix.
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf256/dispatch.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("avx2,gfni")

namespace keelson::gf256 {
namespace {

struct Isa {
  using Vector = __m256i;
  using Table = __m256i;
  using Operand = __m256i;
  static constexpr size_t kBytes = 32;
  static constexpr size_t kRows = 6;
  // Whole lines of 64 bytes, within 16 registers.
  static constexpr int unroll(int rows) { return rows <= 2 ? 4 : 2; }
  static constexpr bool tablesFirst(int) { return false; }
  static constexpr bool pairs(int) { return false; }
  static Table loadTable(const Pass& pass, size_t index) { return _mm256_set1_epi64x(static_cast<long long>(pass.affine[index])); }
  static Operand operand(Vector value) { return value; }
  static Vector addProduct(Vector sum, Operand value, Table table) { return _mm256_xor_si256(sum, _mm256_gf2p8affine_epi64_epi8(value, table, 0)); }
  static Vector load(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Vector add(Vector a, Vector b) { return _mm256_xor_si256(a, b); }
  static Vector zero() { return _mm256_setzero_si256(); }
  static void store(uint8_t* to, Vector value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value); }
  static void stream(uint8_t* to, Vector value) { _mm256_stream_si256(reinterpret_cast<__m256i*>(to), value); }
  static void fence() { _mm_sfence(); }
};

}  // namespace

#include "gf256/apply_kernel.h"

void applyAvx2Gfni(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  runPass(pass, sources, targets, length, options);
}

}  // namespace keelson::gf256

KEELSON_TARGET_POP
#endif
