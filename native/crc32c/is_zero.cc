#include <cstring>

#include "crc32c/crc32c.h"

namespace keelson::crc32c {

bool isZero(const uint8_t* data, size_t length) {
  // The compiler makes vectors of the inner loop (SSE2 is on every x86-64); leaving after each 256 bytes keeps written blocks cheap.
  typedef uint64_t Words __attribute__((vector_size(16)));
  for (; length >= 256; length -= 256, data += 256) {
    Words any = {0, 0};
    for (int i = 0; i < 256; i += 16) {
      Words next;
      std::memcpy(&next, data + i, 16);
      any |= next;
    }
    if ((any[0] | any[1]) != 0) return false;
  }
  for (; length > 0; length--, data++) {
    if (*data != 0) return false;
  }
  return true;
}

}  // namespace keelson::crc32c
