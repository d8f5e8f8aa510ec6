// The vector kernel, written once for every instruction set. An including file sets the target, then defines in an anonymous namespace a
// struct Isa with: Vector, Table, Operand (a vector made ready for multiplication), kBytes, kAccumulators, load, loadTable(pass, column * rows + row),
// operand(vector), addProduct(sum, operand, table), exclusiveOr, zero, store, stream, fence; and then includes this file. No include guard: each including file gets its own copy, compiled for its own target.
//
// One iteration takes Unroll vectors of each source and keeps Rows x Unroll accumulators in registers, so that each table is loaded once
// for Unroll vectors. XorFirst: row 0 of the pass has coefficient one everywhere and needs no multiplication.

namespace {

template <int Rows, int Unroll, bool XorFirst>
__attribute__((always_inline)) inline void step(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t at, ApplyOptions options, bool stream) {
  typename Isa::Vector sums[Rows][Unroll];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) sums[r][u] = options.accumulate ? Isa::load(targets[r] + at + u * Isa::kBytes) : Isa::zero();
  }
  const size_t columns = pass.columns.size();
  const size_t ones = pass.onesColumns;
  size_t c = 0;
  for (; c < ones; c++) {
    const uint8_t* source = sources[c] + at;
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) {
      const typename Isa::Vector value = Isa::load(source + u * Isa::kBytes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; r++) sums[r][u] = Isa::exclusiveOr(sums[r][u], value);
    }
  }
  for (; c < columns; c++) {
    const uint8_t* source = sources[c] + at;
    typename Isa::Operand values[Unroll];
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) {
      const typename Isa::Vector value = Isa::load(source + u * Isa::kBytes);
      if (XorFirst) sums[0][u] = Isa::exclusiveOr(sums[0][u], value);
      values[u] = Isa::operand(value);
    }
#pragma GCC unroll 8
    for (int r = XorFirst ? 1 : 0; r < Rows; r++) {
      const typename Isa::Table table = Isa::loadTable(pass, c * Rows + r);
#pragma GCC unroll 8
      for (int u = 0; u < Unroll; u++) sums[r][u] = Isa::addProduct(sums[r][u], values[u], table);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) {
      if (stream) Isa::stream(targets[r] + at + u * Isa::kBytes, sums[r][u]);
      else Isa::store(targets[r] + at + u * Isa::kBytes, sums[r][u]);
    }
  }
}

template <int Rows, int Unroll, bool XorFirst>
void run(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  // A non-temporal store needs an aligned target.
  bool stream = options.nonTemporal;
  for (int r = 0; r < Rows; r++) stream = stream && reinterpret_cast<uintptr_t>(targets[r]) % Isa::kBytes == 0;
  size_t at = 0;
  for (; at + Unroll * Isa::kBytes <= length; at += Unroll * Isa::kBytes) step<Rows, Unroll, XorFirst>(pass, sources, targets, at, options, stream);
  for (; at + Isa::kBytes <= length; at += Isa::kBytes) step<Rows, 1, XorFirst>(pass, sources, targets, at, options, stream);
  if (at < length) applyScalarFrom(pass, sources, targets, at, length, options.accumulate);
  // Streamed lines are made visible before the caller's next store, as ordinary ones are.
  if (stream) Isa::fence();
}

template <int Rows>
void runRows(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  constexpr int unroll = Isa::kAccumulators / Rows > 4 ? 4 : (Isa::kAccumulators / Rows < 1 ? 1 : Isa::kAccumulators / Rows);
  if (pass.xorRows > 0) run<Rows, unroll, true>(pass, sources, targets, length, options);
  else run<Rows, unroll, false>(pass, sources, targets, length, options);
}

inline void runPass(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  static_assert(kRowsPerPass == 6, "one case for each number of rows");
  switch (pass.rows.size()) {
    case 1: return runRows<1>(pass, sources, targets, length, options);
    case 2: return runRows<2>(pass, sources, targets, length, options);
    case 3: return runRows<3>(pass, sources, targets, length, options);
    case 4: return runRows<4>(pass, sources, targets, length, options);
    case 5: return runRows<5>(pass, sources, targets, length, options);
    default: return runRows<6>(pass, sources, targets, length, options);
  }
}

}  // namespace
