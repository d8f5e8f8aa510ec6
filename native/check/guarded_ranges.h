// Memory for ranges of bytes each of which lies between pages that cannot be touched.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace keelson::check {

// A reproducible sequence: Marsaglia's xorshift.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  // An integer in [0, bound).
  size_t below(size_t bound) { return static_cast<size_t>((next() >> 16) % bound); }
  void fill(uint8_t* data, size_t length);

 private:
  uint64_t state_;
};

// Where in its slot a range lies. atEnd: its last byte is the last before a guard page. atStart: its first is the first after one.
// loose: anywhere, at any alignment, among canaries that AddressSanitizer, where it is on, does not let anyone touch.
enum class Place { atEnd, atStart, loose };

class GuardedRanges {
 public:
  // `count` slots, each for up to `bytesMax` bytes.
  GuardedRanges(size_t count, size_t bytesMax);
  ~GuardedRanges();
  GuardedRanges(const GuardedRanges&) = delete;
  GuardedRanges& operator=(const GuardedRanges&) = delete;

  // Puts a range of random bytes into the slot.
  uint8_t* place(size_t slot, size_t length, Place where, Random& random);
  // False when a byte near the range, but outside it, was written. Makes the slot touchable again.
  bool intact(size_t slot);

 private:
  struct Range {
    uint8_t* start = nullptr;
    size_t length = 0;
  };
  uint8_t* slotStart(size_t slot) const;

  size_t slotBytes_;
  size_t pageBytes_;
  size_t mappedBytes_;
  uint8_t* memory_;
  std::vector<Range> ranges_;
};

}  // namespace keelson::check
