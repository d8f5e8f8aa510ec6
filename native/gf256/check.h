// Products that ought to be zero: where each of them is not.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gf256/plan.h"

namespace keelson::gf256 {

// Room for a piece of every row of one plan's products, small enough to stay in the cache.
class CheckScratch {
 public:
  explicit CheckScratch(const Plan& plan);
  uint8_t* row(size_t index) { return bytes_.data() + index * piece_; }
  size_t piece() const { return piece_; }

 private:
  size_t piece_;
  std::vector<uint8_t> bytes_;
};

// firstWrong[r] = the first byte at which the sum of M[r][c] * in[c] is not zero, or -1. The inputs are only read.
void check(const Plan& plan, CheckScratch& scratch, const uint8_t* const* in, size_t length, double* firstWrong);

}  // namespace keelson::gf256
