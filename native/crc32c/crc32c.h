// CRC32C (Castagnoli): reflected polynomial 0x82F63B78. Source: RFC 3720, appendix B.4.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace keelson::crc32c {

// The raw register is carried on: no inversion at either end.
using UpdateFunction = uint32_t (*)(uint32_t state, const uint8_t* data, size_t length);

struct Implementation {
  const char* name;
  bool (*supported)();
  UpdateFunction update;
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

uint32_t updateTable(uint32_t state, const uint8_t* data, size_t length);
#if defined(__x86_64__)
uint32_t updateSse42(uint32_t state, const uint8_t* data, size_t length);
uint32_t updatePclmul(uint32_t state, const uint8_t* data, size_t length);
uint32_t updateVpclmul(uint32_t state, const uint8_t* data, size_t length);
#elif defined(__aarch64__)
uint32_t updateArmv8(uint32_t state, const uint8_t* data, size_t length);
#endif

// x^n modulo the polynomial, reflected.
uint32_t powerOfX(uint64_t n);

bool isZero(const uint8_t* data, size_t length);

}  // namespace keelson::crc32c
