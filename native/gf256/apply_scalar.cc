// The reference: one byte at a time through the product table. Every other kernel is tested against it.
#include "gf256/dispatch.h"
#include "gf256/field.h"

namespace keelson::gf256 {

void applyScalarFrom(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t start, size_t length, bool accumulate) {
  const size_t rows = pass.rows.size();
  for (size_t r = 0; r < rows; r++) {
    uint8_t* target = targets[r];
    bool fresh = !accumulate;
    for (size_t c = 0; c < pass.columns.size(); c++) {
      const uint8_t coefficient = pass.coefficients[c * rows + r];
      if (coefficient == 0) continue;
      const uint8_t* products = field().product[coefficient];
      const uint8_t* source = sources[c];
      if (fresh) {
        for (size_t i = start; i < length; i++) target[i] = products[source[i]];
        fresh = false;
      } else {
        for (size_t i = start; i < length; i++) target[i] ^= products[source[i]];
      }
    }
    if (fresh) {
      for (size_t i = start; i < length; i++) target[i] = 0;
    }
  }
}

void applyScalar(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options) {
  applyScalarFrom(pass, sources, targets, 0, length, options.accumulate);
}

}  // namespace keelson::gf256
