// A coefficient matrix expanded into the tables of one kernel.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace keelson::gf256 {

struct Kernel;

// Outputs computed together in one pass over the inputs, at most; more rows than a kernel takes at once (Kernel::rowsPerPass) take several passes.
constexpr size_t kRowsPerPassMax = 6;

// One pass: up to the kernel's rowsPerPass rows over the columns in which any of them is not zero.
//
// Row 0 is cheaper than the others where it needs no multiplication. The first parity of every code here is the sum of all data; and so, where two or more data
// shards are decoded with that parity at hand, one of them is the sum of the parity, of the data that are left, and of the other lost shards: decoding
// then costs what encoding does.
enum class RowZero {
  product,  // multiplied like any row
  columns,  // the sum of all columns
  mixed,    // the sum of the first plainColumns columns and of rows 1 to mixedRows
};

struct Pass {
  RowZero rowZero = RowZero::product;
  size_t plainColumns = 0;
  size_t mixedRows = 0;
  std::vector<uint16_t> rows;     // indices of the outputs
  std::vector<uint16_t> columns;  // indices of the inputs
  size_t onesColumns = 0;         // leading columns whose coefficient is one in every row of the pass
  // Per column, then per row. affine: 8 bytes each, for GFNI. nibbles: 32 bytes each (16 products of the low, then of the high nibble).
  std::vector<uint64_t> affine;
  std::vector<uint8_t> nibbles;
  std::vector<uint8_t> coefficients;
};

struct Plan {
  static constexpr uint64_t kMagic = 0x6e6f736c65656b01;
  uint64_t magic = kMagic;
  const Kernel* kernel = nullptr;
  size_t rows = 0;
  size_t columns = 0;
  std::vector<Pass> passes;

  Plan(const Kernel* kernel, const uint8_t* coefficients, size_t rows, size_t columns);
  ~Plan() { magic = 0; }
};

struct ApplyOptions {
  bool accumulate;
  bool nonTemporal;
};

// A call on this many bytes, inputs and outputs together, works on memory and not on the cache: its outputs bypass the cache unasked (docs/decisions/0081).
constexpr size_t kNonTemporalBytesMin = size_t{8} << 20;

// Who decides whether outputs bypass the cache.
enum class Stores { bySize, cached, streamed };

inline ApplyOptions optionsFor(bool accumulate, Stores stores, size_t groups, size_t shards, size_t length) {
  if (stores != Stores::bySize) return {accumulate, stores == Stores::streamed};
  // What is added to an output has to be read first, so that it is in the cache anyway. In floating point nothing overflows.
  const bool large = static_cast<double>(groups) * static_cast<double>(shards) * static_cast<double>(length) >= static_cast<double>(kNonTemporalBytesMin);
  return {accumulate, large && !accumulate};
}

// out[r] (^)= sum of M[r][c] * in[c]; in and out are indexed as in the matrix.
void apply(const Plan& plan, const uint8_t* const* in, uint8_t* const* out, size_t length, ApplyOptions options);

}  // namespace keelson::gf256
