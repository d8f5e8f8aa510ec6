#include <cstdio>
#include <string>
#include <vector>

#include "check/check.h"
#include "check/guarded_ranges.h"
#include "crc32c/crc32c.h"

namespace keelson::check {
namespace {

using crc32c::Implementation;

constexpr size_t kLengthsMax = 1024;
// Longer than the longest stretch of any implementation, twice.
constexpr size_t kLongMax = 80'000;
constexpr size_t kLongs = 60;

uint32_t updateSlowly(uint32_t state, const uint8_t* data, size_t length) {
  for (size_t i = 0; i < length; i++) {
    state ^= data[i];
    for (int bit = 0; bit < 8; bit++) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82F63B78 : 0);
  }
  return state;
}

std::string tryLength(const Implementation& implementation, size_t length, Place place, GuardedRanges& ranges, Random& random) {
  const uint8_t* const data = ranges.place(0, length, place, random);
  const uint32_t state = static_cast<uint32_t>(random.next());
  const uint32_t found = implementation.update(state, data, length);
  if (found == updateSlowly(state, data, length) && ranges.intact(0)) return "";
  return std::string(implementation.name) + ": wrong checksum of " + std::to_string(length) + " bytes, place " + std::to_string(static_cast<int>(place));
}

std::string tryCopy(const Implementation& implementation, Place place, GuardedRanges& ranges, Random& random) {
  constexpr size_t kBytes = crc32c::kBlockBytes;
  const uint8_t* const from = ranges.place(0, kBytes, place, random);
  uint8_t* const to = ranges.place(1, kBytes, place, random);
  const uint32_t state = static_cast<uint32_t>(random.next());
  const uint32_t found = implementation.copyBlock(state, from, to, random.below(2) == 0);
  if (found == updateSlowly(state, from, kBytes) && std::memcmp(from, to, kBytes) == 0 && ranges.intact(0) && ranges.intact(1)) return "";
  return std::string(implementation.name) + ": wrong copy or its checksum, place " + std::to_string(static_cast<int>(place));
}

std::string tryZeroes(size_t length, Place place, GuardedRanges& ranges, Random& random) {
  uint8_t* const data = ranges.place(0, length, place, random);
  for (size_t i = 0; i < length; i++) data[i] = 0;
  bool right = crc32c::isZero(data, length);
  if (length > 0) {
    data[random.below(length)] = static_cast<uint8_t>(1 << random.below(8));
    right = right && !crc32c::isZero(data, length);
  }
  return right ? "" : "isZero is wrong on " + std::to_string(length) + " bytes";
}

}  // namespace

std::string checkCrc32c(uint64_t seed) {
  GuardedRanges ranges(2, kLongMax);
  GuardedRanges shortRanges(1, kLengthsMax);
  for (const Implementation* implementation : crc32c::availableImplementations()) {
    Random random(seed);
    for (const Place place : {Place::atEnd, Place::atStart, Place::loose}) {
      for (size_t length = 0; length <= kLengthsMax; length++) {
        std::string failure = tryLength(*implementation, length, place, shortRanges, random);
        if (failure.empty()) failure = tryZeroes(length, place, shortRanges, random);
        if (!failure.empty()) return failure;
      }
      for (size_t i = 0; i < kLongs; i++) {
        std::string failure = tryLength(*implementation, random.below(kLongMax), place, ranges, random);
        if (failure.empty()) failure = tryCopy(*implementation, place, ranges, random);
        if (!failure.empty()) return failure;
      }
    }
    std::printf("checksum %s: lengths 0 to %zu, %zu longer ones\n", implementation->name, kLengthsMax, 3 * kLongs);
  }
  return "";
}

}  // namespace keelson::check
