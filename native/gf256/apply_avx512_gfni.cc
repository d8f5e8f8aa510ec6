// One vgf2p8affineqb multiplies 64 bytes by any constant in any GF(2^8), through the constant's 8x8 bit matrix.
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf256/dispatch.h"
#include "isa_target.h"

KEELSON_TARGET_PUSH("avx512f,avx512bw,avx512vl,gfni")

namespace keelson::gf256 {
namespace {

struct Isa {
  using Vector = __m512i;
  using Table = __m512i;
  using Operand = __m512i;
  static constexpr size_t kBytes = 64;
  static constexpr size_t kRows = 6;
  // Sums and two columns within 32 registers.
  static constexpr int unroll(int rows) { return rows <= 4 ? 4 : 2; }
  static constexpr bool tablesFirst(int) { return false; }
  static constexpr bool pairs(int rows) { return rows >= 3; }
  static Table loadTable(const Pass& pass, size_t index) { return _mm512_set1_epi64(static_cast<long long>(pass.affine[index])); }
  static Operand operand(Vector value) { return value; }
  static Vector product(Operand value, Table table) { return _mm512_gf2p8affine_epi64_epi8(value, table, 0); }
  static Vector addProduct(Vector sum, Operand value, Table table) { return _mm512_xor_si512(sum, product(value, table)); }
  static Vector load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static Vector add(Vector a, Vector b) { return _mm512_xor_si512(a, b); }
  static Vector add(Vector a, Vector b, Vector c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static Vector zero() { return _mm512_setzero_si512(); }
  static void store(uint8_t* to, Vector value) { _mm512_storeu_si512(to, value); }
  static void stream(uint8_t* to, Vector value) { _mm512_stream_si512(reinterpret_cast<__m512i*>(to), value); }
  static void fence() { _mm_sfence(); }
};

}  // namespace

#include "gf256/apply_kernel.h"

void applyAvx512Gfni(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  runPass(pass, sources, targets, length, options);
}

}  // namespace keelson::gf256

KEELSON_TARGET_POP
#endif
