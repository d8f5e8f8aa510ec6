// CRC32C (Castagnoli): reflected polynomial 0x82F63B78. Source: RFC 3720, appendix B.4.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace keelson::crc32c {

// The raw register is carried on: no inversion at either end.
using UpdateFunction = uint32_t (*)(uint32_t state, const uint8_t* data, size_t length);
// The same over a block that is copied meanwhile, past the cache when told so.
using CopyFunction = uint32_t (*)(uint32_t state, const uint8_t* from, uint8_t* to, bool stream);

struct Implementation {
  const char* name;
  bool (*supported)();
  UpdateFunction update;
  CopyFunction copyBlock;
};

// Those that this processor can run, slowest first; the first one is the table.
const std::vector<const Implementation*>& availableImplementations();
// KEELSON_CRC when set (nullptr when it names none that is available), else the fastest.
const Implementation* chosenImplementation();

// seed is the checksum of what came before (0 at the start).
inline uint32_t checksum(const Implementation& implementation, uint32_t seed, const uint8_t* data, size_t length) {
  return ~implementation.update(~seed, data, length);
}

constexpr size_t kBlockBytes = 4096;
// crc32c(le64(address) ++ block)
uint32_t blockChecksum(const Implementation& implementation, uint64_t address, const uint8_t* block);

// Copies as large as this go past the cache: what is written is not wanted again soon (docs/decisions/0082).
constexpr size_t kStreamBytesMin = size_t{64} << 10;
// Copies `count` blocks, and out[i] is the checksum of the i-th with address + i. The two do not overlap.
void copyBlocks(const Implementation& implementation, uint64_t address, const uint8_t* from, uint8_t* to, size_t count, uint32_t* out);

// For implementations without a loop that does both: one after the other, the block from the cache.
template <UpdateFunction update>
uint32_t copyThenUpdate(uint32_t state, const uint8_t* from, uint8_t* to, bool) {
  std::memcpy(to, from, kBlockBytes);
  return update(state, to, kBlockBytes);
}

uint32_t updateTable(uint32_t state, const uint8_t* data, size_t length);
#if defined(__x86_64__)
uint32_t updateSse42(uint32_t state, const uint8_t* data, size_t length);
uint32_t updatePclmul(uint32_t state, const uint8_t* data, size_t length);
uint32_t updateVpclmul(uint32_t state, const uint8_t* data, size_t length);
uint32_t copyBlockVpclmul(uint32_t state, const uint8_t* from, uint8_t* to, bool stream);
#elif defined(__aarch64__)
uint32_t updateArmv8(uint32_t state, const uint8_t* data, size_t length);
#endif

// x^n modulo the polynomial, reflected.
uint32_t powerOfX(uint64_t n);

bool isZero(const uint8_t* data, size_t length);

}  // namespace keelson::crc32c
