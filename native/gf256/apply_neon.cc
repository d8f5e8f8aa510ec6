// Nibble tables through tbl, 16 bytes at a time. Every aarch64 processor has it.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "gf256/dispatch.h"

namespace keelson::gf256 {
namespace {

struct Isa {
  using Vector = uint8x16_t;
  struct Table {
    uint8x16_t low;
    uint8x16_t high;
  };
  using Operand = Table;  // the nibbles of a vector, each in a byte of its own
  static constexpr size_t kBytes = 16;
  static constexpr size_t kRows = 4;
  // Whole lines of 64 bytes; sums, nibbles, tables and the mask within 32 registers.
  static constexpr int unroll(int) { return 4; }
  static constexpr bool tablesFirst(int) { return false; }
  static constexpr bool pairs(int) { return false; }
  static Vector load(const uint8_t* from) { return vld1q_u8(from); }
  static Table loadTable(const Pass& pass, size_t index) {
    const uint8_t* at = pass.nibbles.data() + index * 32;
    return {vld1q_u8(at), vld1q_u8(at + 16)};
  }
  static Operand operand(Vector value) { return {vandq_u8(value, vdupq_n_u8(15)), vshrq_n_u8(value, 4)}; }
  static Vector addProduct(Vector sum, Operand value, Table table) {
    return veorq_u8(sum, veorq_u8(vqtbl1q_u8(table.low, value.low), vqtbl1q_u8(table.high, value.high)));
  }
  static Vector add(Vector a, Vector b) { return veorq_u8(a, b); }
  static Vector zero() { return vdupq_n_u8(0); }
  static void store(uint8_t* to, Vector value) { vst1q_u8(to, value); }
  // The hint of stnp is not worth a kernel of its own: what a core does with it is left to the core.
  static void stream(uint8_t* to, Vector value) { store(to, value); }
  static void fence() {}
};

}  // namespace

#include "gf256/apply_kernel.h"

void applyNeon(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  runPass(pass, sources, targets, length, options);
}

}  // namespace keelson::gf256
#endif
