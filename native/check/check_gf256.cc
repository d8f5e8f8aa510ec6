#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "check/check.h"
#include "check/guarded_ranges.h"
#include "gf256/dispatch.h"
#include "gf256/field.h"

namespace keelson::check {
namespace {

using gf256::ApplyOptions;
using gf256::Kernel;
using gf256::Plan;

constexpr size_t kMembersMax = 32;
constexpr size_t kParitiesMax = 8;
constexpr size_t kLengthsMax = 1024;
// Longer than the pieces in which large work is cut up, and not a multiple of them.
constexpr size_t kShapeBytesMax = 40'000;
constexpr size_t kShapes = 300;
constexpr size_t kBlockShapes = 24;

struct Case {
  size_t rows;
  size_t columns;
  size_t length;
  Place place;
  ApplyOptions options;
  std::vector<uint8_t> matrix;
};

std::string describe(const Kernel& kernel, const Case& c, const char* what) {
  return std::string(kernel.name) + ": " + what + ", " + std::to_string(c.columns) + " inputs, " + std::to_string(c.rows) + " outputs of " + std::to_string(c.length) +
         " bytes, place " + std::to_string(static_cast<int>(c.place)) + (c.options.accumulate ? ", accumulating" : "") + (c.options.nonTemporal ? ", non-temporal" : "");
}

// One call between guard pages against the scalar kernel on memory of its own.
std::string tryCase(const Kernel& kernel, const Case& c, GuardedRanges& ranges, Random& random) {
  const uint8_t* in[256];
  uint8_t* out[256];
  std::vector<std::vector<uint8_t>> data;
  std::vector<std::vector<uint8_t>> expected;
  for (size_t i = 0; i < c.columns; i++) {
    in[i] = ranges.place(i, c.length, c.place, random);
    data.emplace_back(in[i], in[i] + c.length);
  }
  for (size_t r = 0; r < c.rows; r++) {
    out[r] = ranges.place(c.columns + r, c.length, c.place, random);
    expected.emplace_back(out[r], out[r] + c.length);
  }
  gf256::apply(Plan(&kernel, c.matrix.data(), c.rows, c.columns), in, out, c.length, c.options);
  const uint8_t* plainIn[256];
  uint8_t* plainOut[256];
  for (size_t i = 0; i < c.columns; i++) plainIn[i] = data[i].data();
  for (size_t r = 0; r < c.rows; r++) plainOut[r] = expected[r].data();
  gf256::apply(Plan(gf256::findKernel("scalar"), c.matrix.data(), c.rows, c.columns), plainIn, plainOut, c.length, c.options);
  const auto same = [&](const uint8_t* at, const std::vector<uint8_t>& bytes) { return c.length == 0 || std::memcmp(at, bytes.data(), c.length) == 0; };
  for (size_t i = 0; i < c.columns; i++) {
    if (!same(in[i], data[i])) return describe(kernel, c, "an input was changed");
  }
  for (size_t r = 0; r < c.rows; r++) {
    if (!same(out[r], expected[r])) return describe(kernel, c, "wrong output");
  }
  for (size_t slot = 0; slot < c.rows + c.columns; slot++) {
    if (!ranges.intact(slot)) return describe(kernel, c, "bytes outside were written");
  }
  return "";
}

// Makes the sum of some rows have only zeroes and ones, as in the decoding of several shards.
void makeSumPlain(std::vector<uint8_t>& matrix, size_t rows, size_t columns, Random& random) {
  uint8_t* const derived = matrix.data() + random.below(rows) * columns;
  for (size_t c = 0; c < columns; c++) derived[c] = random.below(4) == 0 ? 0 : 1;
  for (size_t r = 0; r < rows; r++) {
    const uint8_t* const other = matrix.data() + r * columns;
    if (other == derived || random.below(3) == 0) continue;
    for (size_t c = 0; c < columns; c++) derived[c] ^= other[c];
  }
}

std::vector<uint8_t> randomMatrix(size_t rows, size_t columns, Random& random) {
  std::vector<uint8_t> matrix(rows * columns);
  random.fill(matrix.data(), matrix.size());
  // Zeroes and ones take paths of their own; so do a row and a column of ones.
  for (uint8_t& value : matrix) {
    if (random.below(6) == 0) value = static_cast<uint8_t>(random.below(2));
  }
  if (random.below(2) == 0) std::memset(matrix.data() + random.below(rows) * columns, 1, columns);
  for (size_t r = 0; r < rows && random.below(4) != 0; r++) matrix[r * columns] = 1;
  if (random.below(2) == 0) makeSumPlain(matrix, rows, columns, random);
  return matrix;
}

// Against multiplication bit by bit: in whole vectors, and in the bytes that are left over.
std::string tryProducts(const Kernel& kernel) {
  for (int a = 0; a < 256; a++) {
    // A second row keeps a coefficient of one from being handled as a copy alone.
    const uint8_t matrix[2] = {static_cast<uint8_t>(a), static_cast<uint8_t>(a ^ 1)};
    const Plan plan(&kernel, matrix, 2, 1);
    for (const size_t length : {size_t{256}, size_t{255}, size_t{7}}) {
      for (size_t first = 0; first < 256; first += length) {
        std::vector<uint8_t> input(length);
        std::vector<uint8_t> outputs[2] = {std::vector<uint8_t>(length), std::vector<uint8_t>(length)};
        for (size_t i = 0; i < length; i++) input[i] = static_cast<uint8_t>(first + i);
        const uint8_t* in[1] = {input.data()};
        uint8_t* out[2] = {outputs[0].data(), outputs[1].data()};
        gf256::apply(plan, in, out, length, {false, false});
        for (size_t i = 0; i < length; i++) {
          for (int r = 0; r < 2; r++) {
            if (out[r][i] == gf256::multiplySlowly(matrix[r], input[i])) continue;
            return std::string(kernel.name) + ": " + std::to_string(matrix[r]) + " x " + std::to_string(input[i]) + " = " + std::to_string(out[r][i]);
          }
        }
      }
    }
  }
  return "";
}

constexpr Place kPlaces[] = {Place::atEnd, Place::atStart, Place::loose};

std::string tryLengths(const Kernel& kernel, GuardedRanges& ranges, Random& random) {
  for (size_t length = 0; length <= kLengthsMax; length++) {
    for (const Place place : kPlaces) {
      const size_t columns = 1 + random.below(5);
      const size_t rows = 1 + random.below(4);
      const Case c{rows, columns, length, place, {random.below(2) == 0, random.below(3) == 0}, randomMatrix(rows, columns, random)};
      const std::string failure = tryCase(kernel, c, ranges, random);
      if (!failure.empty()) return failure;
    }
  }
  return "";
}

std::string tryShapes(const Kernel& kernel, GuardedRanges& ranges, Random& random) {
  for (size_t i = 0; i < kShapes; i++) {
    const size_t rows = 1 + random.below(kParitiesMax);
    const size_t columns = 1 + random.below(kMembersMax - rows);
    const size_t length = random.below(i % 8 == 0 ? kShapeBytesMax : 3000);
    const Case c{rows, columns, length, kPlaces[i % 3], {random.below(2) == 0, random.below(3) == 0}, randomMatrix(rows, columns, random)};
    const std::string failure = tryCase(kernel, c, ranges, random);
    if (!failure.empty()) return failure;
  }
  return "";
}

// Work on memory over many sources goes in blocks of them.
std::string tryBlocks(const Kernel& kernel, GuardedRanges& ranges, Random& random) {
  for (size_t i = 0; i < kBlockShapes; i++) {
    const size_t rows = 1 + random.below(4);
    const size_t columns = kMembersMax - rows - random.below(12);
    Case c{rows, columns, kShapeBytesMax - random.below(3000), kPlaces[i % 3], {random.below(3) == 0, true}, randomMatrix(rows, columns, random)};
    if (i % 2 == 0) makeSumPlain(c.matrix, rows, columns, random);
    const std::string failure = tryCase(kernel, c, ranges, random);
    if (!failure.empty()) return failure;
  }
  return "";
}

}  // namespace

std::string checkGf256(uint64_t seed) {
  GuardedRanges ranges(kMembersMax, kShapeBytesMax);
  GuardedRanges shortRanges(kMembersMax, kLengthsMax);
  for (const Kernel* kernel : gf256::availableKernels()) {
    Random random(seed);
    std::string failure = tryProducts(*kernel);
    if (failure.empty()) failure = tryLengths(*kernel, shortRanges, random);
    if (failure.empty()) failure = tryShapes(*kernel, ranges, random);
    if (failure.empty()) failure = tryBlocks(*kernel, ranges, random);
    if (!failure.empty()) return failure;
    std::printf("kernel %s: 65536 products, lengths 0 to %zu, %zu shapes\n", kernel->name, kLengthsMax, kShapes + kBlockShapes);
  }
  return "";
}

}  // namespace keelson::check
