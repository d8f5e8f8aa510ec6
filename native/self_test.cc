#include "self_test.h"

#include <cstring>
#include <vector>

#include "crc32c/crc32c.h"
#include "gf256/dispatch.h"
#include "gf256/field.h"

namespace keelson {
namespace {

// Odd, and longer than four of the widest vectors: unrolled, single and scalar steps all run.
constexpr size_t kLength = 4 * 64 + 64 + 37;
constexpr size_t kColumns = 5;
constexpr size_t kRowsMax = 7;  // two passes

uint8_t pseudo(uint32_t& state) {
  state = state * 1664525 + 1013904223;
  return static_cast<uint8_t>(state >> 24);
}

std::string testKernel(const gf256::Kernel& kernel) {
  uint32_t state = 1;
  std::vector<uint8_t> data(kColumns * kLength);
  for (uint8_t& byte : data) byte = pseudo(state);
  for (size_t rows = 1; rows <= kRowsMax; rows++) {
    std::vector<uint8_t> matrix(rows * kColumns);
    for (size_t i = 0; i < matrix.size(); i++) matrix[i] = i < kColumns || i % kColumns == 0 ? 1 : pseudo(state);
    const gf256::Plan plan(&kernel, matrix.data(), rows, kColumns);
    std::vector<uint8_t> result(rows * kLength, 0xA5);
    const uint8_t* in[kColumns];
    uint8_t* out[kRowsMax];
    for (size_t c = 0; c < kColumns; c++) in[c] = data.data() + c * kLength;
    for (size_t r = 0; r < rows; r++) out[r] = result.data() + r * kLength;
    for (const bool accumulate : {false, true}) {
      gf256::apply(plan, in, out, kLength, {accumulate, false});
      for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < kLength; i++) {
          uint8_t expected = 0;
          // Accumulating the same product a second time cancels it.
          for (size_t c = 0; c < kColumns && !accumulate; c++) expected ^= gf256::multiplySlowly(matrix[r * kColumns + c], in[c][i]);
          if (out[r][i] != expected) return std::string("GF(2^8) kernel ") + kernel.name + " gives a wrong product";
        }
      }
    }
  }
  return "";
}

std::string testChecksum(const crc32c::Implementation& implementation) {
  const std::string name = std::string("CRC32C implementation ") + implementation.name;
  const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  if (crc32c::checksum(implementation, 0, digits, 9) != 0xE3069283) return name + " fails the check value";
  uint8_t ascending[32];
  for (uint8_t i = 0; i < 32; i++) ascending[i] = i;
  if (crc32c::checksum(implementation, 0, ascending, 32) != 0x46DD794E) return name + " fails the vector of RFC 3720";
  uint32_t state = 7;
  std::vector<uint8_t> data(9001);
  for (uint8_t& byte : data) byte = pseudo(state);
  for (const size_t length : {size_t{255}, size_t{256}, size_t{511}, size_t{600}, size_t{4096}, size_t{4104}, size_t{9000}}) {
    if (implementation.update(0x12345678, data.data() + 1, length) != crc32c::updateTable(0x12345678, data.data() + 1, length)) {
      return name + " differs from the table at " + std::to_string(length) + " bytes";
    }
  }
  return "";
}

}  // namespace

std::string selfTest() {
  for (const gf256::Kernel* kernel : gf256::availableKernels()) {
    const std::string failure = testKernel(*kernel);
    if (!failure.empty()) return failure;
  }
  for (const crc32c::Implementation* implementation : crc32c::availableImplementations()) {
    const std::string failure = testChecksum(*implementation);
    if (!failure.empty()) return failure;
  }
  return "";
}

}  // namespace keelson
