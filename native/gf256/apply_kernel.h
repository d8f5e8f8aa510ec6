// The vector kernel, written once for every instruction set. An including file sets the target, then defines in an anonymous namespace a
// struct Isa with: Vector, Table, Operand (a vector made ready for multiplication), kBytes, kRows (taken in one pass), unroll(rows),
// tablesFirst(rows), pairs(rows), load, loadTable(pass, column * rows + row), operand(vector), addProduct(sum, operand, table), add(a, b), zero, store,
// stream, fence, and, with pairs, product(vector, table) and add(a, b, c); and then includes this file. No include guard: each including file
// gets its own copy, compiled for its own target.
//
// One iteration takes Unroll vectors of each source and keeps Rows x Unroll sums in registers, so that each table is loaded once for Unroll
// vectors. The choices (docs/decisions/0081 has what each brings):
// - unroll makes whole cache lines where the registers allow it. Shards often lie a power of two apart, and more of them than a cache set has
//   ways: what is left of a line may be evicted before the next iteration comes for it.
// - tablesFirst: the tables of a column in registers and one vector after the other, instead of the vectors in registers and one table after the
//   other; whichever needs fewer registers.
// - pairs: two columns at a time, for processors that add three vectors in one instruction.
// - runInBlocks: for non-temporal work, which is work on memory, over many sources.
// - First: row 0 of the pass may be a plain sum of columns, and of other rows, and then needs no multiplication.

namespace {

// What one step computes: some columns of the pass, added to the initial sums (none: to zero), stored, or streamed, to the targets. The two lie at
// offsets of their own, since sums between two blocks of columns are kept elsewhere.
struct Part {
  size_t firstColumn;
  size_t endColumn;
  const uint8_t* const* initial;
  uint8_t* const* targets;
  bool stream;
  bool last;        // ends with the last column of the pass
  bool accumulate;  // the sums have what was in the targets
};

// What row 0 gets of a column: its product like the other rows, the column as it is, or nothing.
enum class Gets { product, column, nothing };

// Columns [from, to). I is Isa: as a parameter, so that what only pairs needs has to be there only with them.
template <int Rows, int Unroll, Gets RowZero, class I = Isa>
__attribute__((always_inline)) inline void addColumns(const Pass& pass, const uint8_t* const* sources, size_t at, size_t from, size_t to,
                                                      typename I::Vector (&sums)[Rows][Unroll]) {
  using Vector = typename I::Vector;
  using Table = typename I::Table;
  constexpr int multiplied = RowZero == Gets::product ? 0 : 1;  // the first row with coefficients
  size_t c = from;
  if constexpr (I::pairs(Rows)) {
    for (; c + 1 < to; c += 2) {
      Vector first[Unroll];
      Vector second[Unroll];
#pragma GCC unroll 8
      for (int u = 0; u < Unroll; u++) {
        first[u] = I::load(sources[c] + at + u * I::kBytes);
        second[u] = I::load(sources[c + 1] + at + u * I::kBytes);
        if (RowZero == Gets::column) sums[0][u] = I::add(sums[0][u], first[u], second[u]);
      }
#pragma GCC unroll 8
      for (int r = multiplied; r < Rows; r++) {
        const Table firstTable = I::loadTable(pass, c * Rows + r);
        const Table secondTable = I::loadTable(pass, (c + 1) * Rows + r);
#pragma GCC unroll 8
        for (int u = 0; u < Unroll; u++) sums[r][u] = I::add(sums[r][u], I::product(first[u], firstTable), I::product(second[u], secondTable));
      }
    }
  }
  for (; c < to; c++) {
    const uint8_t* source = sources[c] + at;
    if constexpr (I::tablesFirst(Rows)) {
      Table tables[Rows];
#pragma GCC unroll 8
      for (int r = multiplied; r < Rows; r++) tables[r] = I::loadTable(pass, c * Rows + r);
#pragma GCC unroll 8
      for (int u = 0; u < Unroll; u++) {
        const Vector value = I::load(source + u * I::kBytes);
        if (RowZero == Gets::column) sums[0][u] = I::add(sums[0][u], value);
        const typename I::Operand operand = I::operand(value);
#pragma GCC unroll 8
        for (int r = multiplied; r < Rows; r++) sums[r][u] = I::addProduct(sums[r][u], operand, tables[r]);
      }
    } else {
      typename I::Operand operands[Unroll];
#pragma GCC unroll 8
      for (int u = 0; u < Unroll; u++) {
        const Vector value = I::load(source + u * I::kBytes);
        if (RowZero == Gets::column) sums[0][u] = I::add(sums[0][u], value);
        operands[u] = I::operand(value);
      }
#pragma GCC unroll 8
      for (int r = multiplied; r < Rows; r++) {
        const Table table = I::loadTable(pass, c * Rows + r);
#pragma GCC unroll 8
        for (int u = 0; u < Unroll; u++) sums[r][u] = I::addProduct(sums[r][u], operands[u], table);
      }
    }
  }
}

template <int Rows, int Unroll, RowZero First, class I = Isa>
__attribute__((always_inline)) inline void step(const Pass& pass, const uint8_t* const* sources, size_t at, const Part& part, size_t initialAt, size_t targetAt) {
  using Vector = typename I::Vector;
  Vector sums[Rows][Unroll];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) sums[r][u] = part.initial != nullptr ? I::load(part.initial[r] + initialAt + u * I::kBytes) : I::zero();
  }
  const size_t columns = part.endColumn;
  const size_t ones = pass.onesColumns < columns ? pass.onesColumns : columns;
  size_t c = part.firstColumn;
  for (; c < ones; c++) {
    const uint8_t* source = sources[c] + at;
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) {
      const Vector value = I::load(source + u * I::kBytes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; r++) sums[r][u] = I::add(sums[r][u], value);
    }
  }
  if constexpr (First == RowZero::product) {
    addColumns<Rows, Unroll, Gets::product>(pass, sources, at, c, columns, sums);
  } else if constexpr (First == RowZero::columns) {
    addColumns<Rows, Unroll, Gets::column>(pass, sources, at, c, columns, sums);
  } else {
    const size_t whole = pass.plainColumns < columns ? pass.plainColumns : columns;
    if (c < whole) {
      addColumns<Rows, Unroll, Gets::column>(pass, sources, at, c, whole, sums);
      c = whole;
    }
    addColumns<Rows, Unroll, Gets::nothing>(pass, sources, at, c, columns, sums);
    if (part.last) {
#pragma GCC unroll 8
      for (int r = 1; r < Rows; r++) {
        if (static_cast<size_t>(r) > pass.mixedRows) continue;
#pragma GCC unroll 8
        for (int u = 0; u < Unroll; u++) {
          sums[0][u] = I::add(sums[0][u], sums[r][u]);
          if (part.accumulate) sums[0][u] = I::add(sums[0][u], I::load(part.targets[r] + targetAt + u * I::kBytes));
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int u = 0; u < Unroll; u++) {
      uint8_t* const target = part.targets[r] + targetAt + u * I::kBytes;
      if (part.stream) I::stream(target, sums[r][u]);
      else I::store(target, sums[r][u]);
    }
  }
}

// From memory, the prefetchers follow about this many streams; more are read in blocks of columns, one block after the other over a chunk.
constexpr size_t kStreamsMax = 16;
constexpr size_t kBlockColumnsMax = 9;
// The sums of a chunk stay in the first cache; their rows lie off powers of two.
constexpr size_t kSumsBytesMax = 24 * 1024;
constexpr size_t kSumsPadBytes = 1088;

// Gives where it ended: at a multiple of its chunk.
template <int Rows, int Unroll, RowZero First>
__attribute__((noinline)) size_t runInBlocks(const Pass& pass, const uint8_t* const* sources, const Part& whole, size_t length) {
  constexpr size_t chunk = kSumsBytesMax / Rows / 1024 * 1024;
  alignas(64) uint8_t sums[Rows * (chunk + kSumsPadBytes)];
  uint8_t* rows[Rows];
  for (int r = 0; r < Rows; r++) rows[r] = sums + r * (chunk + kSumsPadBytes);
  const size_t columns = whole.endColumn;
  const size_t blocks = (columns + kBlockColumnsMax - 1) / kBlockColumnsMax;
  size_t at = 0;
  for (; at + chunk <= length; at += chunk) {
    size_t column = 0;
    for (size_t b = 0; b < blocks; b++) {
      const bool first = b == 0;
      const bool last = b + 1 == blocks;
      const size_t end = column + (columns - column) / (blocks - b);
      const Part part{column, end, first ? whole.initial : rows, last ? whole.targets : rows, last && whole.stream, last, whole.accumulate};
      for (size_t i = 0; i < chunk; i += Unroll * Isa::kBytes) step<Rows, Unroll, First>(pass, sources, at + i, part, first ? at + i : i, last ? at + i : i);
      column = end;
    }
  }
  return at;
}

template <int Rows, int Unroll, RowZero First>
void run(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  // A non-temporal store needs an aligned target.
  bool stream = options.nonTemporal;
  for (int r = 0; r < Rows; r++) stream = stream && reinterpret_cast<uintptr_t>(targets[r]) % Isa::kBytes == 0;
  const Part whole{0, pass.columns.size(), options.accumulate ? targets : nullptr, targets, stream, true, options.accumulate};
  size_t at = 0;
  if (options.nonTemporal && whole.endColumn + Rows > kStreamsMax) at = runInBlocks<Rows, Unroll, First>(pass, sources, whole, length);
  for (; at + Unroll * Isa::kBytes <= length; at += Unroll * Isa::kBytes) step<Rows, Unroll, First>(pass, sources, at, whole, at, at);
  for (; at + Isa::kBytes <= length; at += Isa::kBytes) step<Rows, 1, First>(pass, sources, at, whole, at, at);
  if (at < length) applyScalarFrom(pass, sources, targets, at, length, options.accumulate);
  // Streamed lines are made visible before the caller's next store, as ordinary ones are.
  if (stream) Isa::fence();
}

template <int Rows>
void runRows(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  constexpr int unroll = Isa::unroll(Rows);
  switch (pass.rowZero) {
    case RowZero::product: return run<Rows, unroll, RowZero::product>(pass, sources, targets, length, options);
    case RowZero::columns: return run<Rows, unroll, RowZero::columns>(pass, sources, targets, length, options);
    case RowZero::mixed:
      // One row has no other to be mixed with.
      if constexpr (Rows > 1) return run<Rows, unroll, RowZero::mixed>(pass, sources, targets, length, options);
  }
}

// Rows that an instruction set does not take in one pass (Kernel::rowsPerPass) need no code.
template <int Rows>
void runIfTaken(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  if constexpr (Rows <= Isa::kRows) runRows<Rows>(pass, sources, targets, length, options);
}

inline void runPass(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  static_assert(kRowsPerPassMax == 6 && Isa::kRows <= kRowsPerPassMax, "one case for each number of rows");
  switch (pass.rows.size()) {
    case 1: return runIfTaken<1>(pass, sources, targets, length, options);
    case 2: return runIfTaken<2>(pass, sources, targets, length, options);
    case 3: return runIfTaken<3>(pass, sources, targets, length, options);
    case 4: return runIfTaken<4>(pass, sources, targets, length, options);
    case 5: return runIfTaken<5>(pass, sources, targets, length, options);
    default: return runIfTaken<6>(pass, sources, targets, length, options);
  }
}

}  // namespace
