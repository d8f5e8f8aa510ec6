#include "gf256/plan.h"

#include <algorithm>
#include <numeric>

#include "gf256/dispatch.h"
#include "gf256/field.h"

namespace keelson::gf256 {
namespace {

// The smallest set of rows whose sum has only zeroes and ones for coefficients, as bits; 0 when there is none. At most 63 sets are looked at.
unsigned plainSum(const uint8_t* coefficients, size_t columns, const uint16_t* rows, size_t count) {
  unsigned found = 0;
  for (unsigned set = 1; set < 1u << count; set++) {
    if (found != 0 && __builtin_popcount(set) >= __builtin_popcount(found)) continue;
    bool plain = true;
    for (size_t c = 0; c < columns && plain; c++) {
      uint8_t sum = 0;
      for (size_t r = 0; r < count; r++) {
        if ((set >> r & 1) != 0) sum ^= coefficients[rows[r] * columns + c];
      }
      plain = sum <= 1;
    }
    if (plain) found = set;
  }
  return found;
}

Pass makePass(const uint8_t* coefficients, size_t columns, const uint16_t* rows, size_t count) {
  Pass pass;
  const unsigned summed = plainSum(coefficients, columns, rows, count);
  for (size_t r = 0; r < count; r++) {
    if ((summed >> r & 1) != 0) pass.rows.push_back(rows[r]);
  }
  pass.mixedRows = summed == 0 ? 0 : pass.rows.size() - 1;
  for (size_t r = 0; r < count; r++) {
    if ((summed >> r & 1) == 0) pass.rows.push_back(rows[r]);
  }
  std::vector<uint16_t> plain;
  std::vector<uint16_t> rest;
  for (size_t c = 0; c < columns; c++) {
    bool allOnes = true;
    bool allZero = true;
    uint8_t sum = 0;
    for (size_t r = 0; r < count; r++) {
      const uint8_t value = coefficients[pass.rows[r] * columns + c];
      if (value != 1) allOnes = false;
      if (value != 0) allZero = false;
      if (r <= pass.mixedRows) sum ^= value;
    }
    if (allZero) continue;
    // With mixed rows the sum is not what row 0 itself has there.
    if (allOnes && pass.mixedRows == 0) pass.columns.push_back(static_cast<uint16_t>(c));
    else if (summed != 0 && sum == 1) plain.push_back(static_cast<uint16_t>(c));
    else rest.push_back(static_cast<uint16_t>(c));
  }
  pass.onesColumns = pass.columns.size();
  pass.plainColumns = pass.onesColumns + plain.size();
  if (summed != 0) pass.rowZero = pass.mixedRows == 0 && rest.empty() ? RowZero::columns : RowZero::mixed;
  pass.columns.insert(pass.columns.end(), plain.begin(), plain.end());
  pass.columns.insert(pass.columns.end(), rest.begin(), rest.end());
  for (const uint16_t c : pass.columns) {
    for (const uint16_t row : pass.rows) {
      const uint8_t value = coefficients[row * columns + c];
      pass.coefficients.push_back(value);
      pass.affine.push_back(affineMatrix(value));
      for (int nibble = 0; nibble < 16; nibble++) pass.nibbles.push_back(field().product[value][nibble]);
      for (int nibble = 0; nibble < 16; nibble++) pass.nibbles.push_back(field().product[value][nibble << 4]);
    }
  }
  return pass;
}

}  // namespace

Plan::Plan(const Kernel* kernelGiven, const uint8_t* coefficients, size_t rowCount, size_t columnCount)
    : kernel(kernelGiven), rows(rowCount), columns(columnCount) {
  std::vector<uint16_t> order(rows);
  std::iota(order.begin(), order.end(), uint16_t{0});
  // Even passes: 7 rows go as 4 + 3, not as 6 + 1, so that no pass is short of work for each byte that it loads.
  const size_t passCount = (rows + kernel->rowsPerPass - 1) / kernel->rowsPerPass;
  size_t done = 0;
  for (size_t p = 0; p < passCount; p++) {
    const size_t count = (rows - done + (passCount - p) - 1) / (passCount - p);
    passes.push_back(makePass(coefficients, columns, order.data() + done, count));
    done += count;
  }
}

void apply(const Plan& plan, const uint8_t* const* in, uint8_t* const* out, size_t length, ApplyOptions options) {
  const uint8_t* sources[256];
  uint8_t* targets[kRowsPerPassMax];
  for (const Pass& pass : plan.passes) {
    for (size_t c = 0; c < pass.columns.size(); c++) sources[c] = in[pass.columns[c]];
    for (size_t r = 0; r < pass.rows.size(); r++) targets[r] = out[pass.rows[r]];
    plan.kernel->apply(pass, sources, targets, length, options);
  }
}

}  // namespace keelson::gf256
