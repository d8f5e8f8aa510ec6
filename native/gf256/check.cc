#include "gf256/check.h"

#include <algorithm>

#include "crc32c/crc32c.h"

namespace keelson::gf256 {
namespace {

// All rows together: the L1 cache, so that a product is still there when it is looked at.
constexpr size_t kScratchBytes = 32 * 1024;
constexpr size_t kPieceMax = 8192;
constexpr size_t kPieceMin = 512;

size_t pieceFor(size_t rows) { return std::max(kPieceMin, std::min(kPieceMax, kScratchBytes / rows / 64 * 64)); }

}  // namespace

CheckScratch::CheckScratch(const Plan& plan) : piece_(pieceFor(plan.rows)), bytes_(piece_ * plan.rows) {}

void check(const Plan& plan, CheckScratch& scratch, const uint8_t* const* in, size_t length, double* firstWrong) {
  const uint8_t* from[256];
  uint8_t* out[256];
  for (size_t r = 0; r < plan.rows; r++) {
    out[r] = scratch.row(r);
    firstWrong[r] = -1;
  }
  size_t wrong = 0;
  // Once each row is known to be wrong there is nothing more to learn.
  for (size_t at = 0; at < length && wrong < plan.rows; at += scratch.piece()) {
    const size_t size = std::min(scratch.piece(), length - at);
    for (size_t c = 0; c < plan.columns; c++) from[c] = in[c] + at;
    apply(plan, from, out, size, {false, false});
    for (size_t r = 0; r < plan.rows; r++) {
      if (firstWrong[r] >= 0 || crc32c::isZero(out[r], size)) continue;
      const uint8_t* first = std::find_if(out[r], out[r] + size, [](uint8_t byte) { return byte != 0; });
      firstWrong[r] = static_cast<double>(at + static_cast<size_t>(first - out[r]));
      wrong++;
    }
  }
}

}  // namespace keelson::gf256
