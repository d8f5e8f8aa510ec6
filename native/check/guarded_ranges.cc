#include "check/guarded_ranges.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

namespace keelson::check {
namespace {

constexpr uint8_t kCanary = 0xC7;
// Looked at on both sides of a range: more than the widest unrolled step.
constexpr size_t kCanaryBytes = 1024;

[[noreturn]] void giveUp(const char* what) {
  std::perror(what);
  std::exit(2);
}

}  // namespace

void Random::fill(uint8_t* data, size_t length) {
  for (; length >= 8; length -= 8, data += 8) {
    const uint64_t value = next();
    std::memcpy(data, &value, 8);
  }
  const uint64_t value = next();
  std::memcpy(data, &value, length);
}

GuardedRanges::GuardedRanges(size_t count, size_t bytesMax) : pageBytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))), ranges_(count) {
  slotBytes_ = (bytesMax + 2 * kCanaryBytes + pageBytes_ - 1) / pageBytes_ * pageBytes_;
  mappedBytes_ = count * (slotBytes_ + pageBytes_) + pageBytes_;
  void* mapped = mmap(nullptr, mappedBytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) giveUp("mmap");
  memory_ = static_cast<uint8_t*>(mapped);
  for (size_t slot = 0; slot < count; slot++) {
    if (mprotect(slotStart(slot), slotBytes_, PROT_READ | PROT_WRITE) != 0) giveUp("mprotect");
  }
}

GuardedRanges::~GuardedRanges() {
  ASAN_UNPOISON_MEMORY_REGION(memory_, mappedBytes_);
  munmap(memory_, mappedBytes_);
}

uint8_t* GuardedRanges::slotStart(size_t slot) const { return memory_ + pageBytes_ + slot * (slotBytes_ + pageBytes_); }

uint8_t* GuardedRanges::place(size_t slot, size_t length, Place where, Random& random) {
  uint8_t* const start = slotStart(slot);
  uint8_t* const end = start + slotBytes_;
  Range& range = ranges_[slot];
  const size_t slack = slotBytes_ - length;
  range.length = length;
  range.start = where == Place::atStart ? start : where == Place::atEnd ? end - length : start + std::min(slack, kCanaryBytes) / 2 + random.below(256);
  ASAN_UNPOISON_MEMORY_REGION(start, slotBytes_);
  std::memset(start, kCanary, slotBytes_);
  random.fill(range.start, length);
  // The shadow knows "the first n of eight bytes" only, so a gap that ends inside eight bytes stays touchable there: the canaries see writes to it.
  ASAN_POISON_MEMORY_REGION(range.start + length, static_cast<size_t>(end - range.start) - length);
  ASAN_POISON_MEMORY_REGION(start, static_cast<size_t>(range.start - start));
  return range.start;
}

bool GuardedRanges::intact(size_t slot) {
  uint8_t* const start = slotStart(slot);
  uint8_t* const end = start + slotBytes_;
  const Range& range = ranges_[slot];
  ASAN_UNPOISON_MEMORY_REGION(start, slotBytes_);
  const uint8_t* const from = std::max(start, range.start - std::min<size_t>(kCanaryBytes, static_cast<size_t>(range.start - start)));
  const uint8_t* const to = range.start + range.length + std::min<size_t>(kCanaryBytes, static_cast<size_t>(end - range.start) - range.length);
  const auto untouched = [](uint8_t byte) { return byte == kCanary; };
  return std::all_of(from, static_cast<const uint8_t*>(range.start), untouched) && std::all_of(static_cast<const uint8_t*>(range.start) + range.length, to, untouched);
}

}  // namespace keelson::check
