#include <cstdlib>
#include <cstring>

#include "cpu.h"
#include "crc32c/crc32c.h"

namespace keelson::crc32c {
namespace {

const Implementation kImplementations[] = {
    {"table", [] { return true; }, updateTable, copyThenUpdate<updateTable>},
#if defined(__x86_64__)
    {"sse4.2", [] { return cpuFeatures().sse42; }, updateSse42, copyThenUpdate<updateSse42>},
    {"pclmul", [] { return cpuFeatures().sse42; }, updatePclmul, copyThenUpdate<updatePclmul>},
    {"vpclmul", [] { return cpuFeatures().vpclmul; }, updateVpclmul, copyBlockVpclmul},
#elif defined(__aarch64__)
    {"armv8", [] { return cpuFeatures().armCrc; }, updateArmv8, copyThenUpdate<updateArmv8>},
#endif
};

}  // namespace

const std::vector<const Implementation*>& availableImplementations() {
  static const std::vector<const Implementation*> available = [] {
    std::vector<const Implementation*> list;
    for (const Implementation& implementation : kImplementations) {
      if (implementation.supported()) list.push_back(&implementation);
    }
    return list;
  }();
  return available;
}

const Implementation* chosenImplementation() {
  static const Implementation* const chosen = []() -> const Implementation* {
    const char* forced = std::getenv("KEELSON_CRC");
    if (forced == nullptr || forced[0] == 0) return availableImplementations().back();
    for (const Implementation* implementation : availableImplementations()) {
      if (std::strcmp(forced, implementation->name) == 0) return implementation;
    }
    return nullptr;
  }();
  return chosen;
}

namespace {

uint32_t addressState(const Implementation& implementation, uint64_t address) {
  uint8_t seed[8];
  std::memcpy(seed, &address, 8);
  return implementation.update(~uint32_t{0}, seed, 8);
}

}  // namespace

uint32_t blockChecksum(const Implementation& implementation, uint64_t address, const uint8_t* block) {
  return ~implementation.update(addressState(implementation, address), block, kBlockBytes);
}

void copyBlocks(const Implementation& implementation, uint64_t address, const uint8_t* from, uint8_t* to, size_t count, uint32_t* out) {
  const bool stream = count >= kStreamBytesMin / kBlockBytes;
  for (size_t i = 0; i < count; i++) {
    out[i] = ~implementation.copyBlock(addressState(implementation, address + i), from + i * kBlockBytes, to + i * kBlockBytes, stream);
  }
}

}  // namespace keelson::crc32c
