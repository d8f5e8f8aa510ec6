#include "gf256/plan.h"

#include <algorithm>

#include "gf256/dispatch.h"
#include "gf256/field.h"

namespace keelson::gf256 {
namespace {

Pass makePass(const uint8_t* coefficients, size_t columns, const uint16_t* rows, size_t count, size_t xorRows) {
  Pass pass;
  pass.rows.assign(rows, rows + count);
  pass.xorRows = xorRows;
  std::vector<uint16_t> rest;
  for (size_t c = 0; c < columns; c++) {
    bool allOnes = true;
    bool allZero = true;
    for (size_t r = 0; r < count; r++) {
      const uint8_t value = coefficients[rows[r] * columns + c];
      if (value != 1) allOnes = false;
      if (value != 0) allZero = false;
    }
    if (allOnes) pass.columns.push_back(static_cast<uint16_t>(c));
    else if (!allZero) rest.push_back(static_cast<uint16_t>(c));
  }
  pass.onesColumns = pass.columns.size();
  pass.columns.insert(pass.columns.end(), rest.begin(), rest.end());
  for (const uint16_t c : pass.columns) {
    for (size_t r = 0; r < count; r++) {
      const uint8_t value = coefficients[rows[r] * columns + c];
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
  std::vector<uint16_t> order;
  std::vector<uint16_t> general;
  for (size_t r = 0; r < rows; r++) {
    const uint8_t* row = coefficients + r * columns;
    const bool ones = std::all_of(row, row + columns, [](uint8_t value) { return value == 1; });
    (ones ? order : general).push_back(static_cast<uint16_t>(r));
  }
  const size_t xorRows = order.size();
  order.insert(order.end(), general.begin(), general.end());
  // Even passes: 7 rows go as 4 + 3, not as 6 + 1, so that no pass is short of work for each byte that it loads.
  const size_t passCount = (rows + kernel->rowsPerPass - 1) / kernel->rowsPerPass;
  size_t done = 0;
  for (size_t p = 0; p < passCount; p++) {
    const size_t count = (rows - done + (passCount - p) - 1) / (passCount - p);
    const size_t ones = xorRows > done ? std::min(xorRows - done, count) : 0;
    passes.push_back(makePass(coefficients, columns, order.data() + done, count, ones));
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
