// A crc32 instruction has a latency of two or three cycles and one a cycle can start: so three thirds of a stretch run side by side and are joined
// by carry-less multiplication. An including file sets the target, then defines in an anonymous namespace a struct Isa with eight(state, word),
// one(state, byte) and multiply(a, b), the carry-less product; and then includes this file. No include guard: each gets its own copy.
// Source: Gopal et al., "Fast CRC computation for iSCSI polynomial using CRC32 instruction", 2011.

namespace {

// Three thirds of 1360 bytes are 4080: with the 8 bytes of the address before it, a block is one long stretch and 24 bytes more.
constexpr size_t kLongThird = 1360;
constexpr size_t kShortThird = 168;

inline uint64_t word(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

// state * x^(8 * bytes): multiplying by x^(8 * bytes - 33) and feeding the 64-bit product to the crc32 instruction, which adds the missing x^33.
inline uint32_t shift(uint32_t state, uint32_t constant) { return Isa::eight(0, Isa::multiply(state, constant)); }

struct Shifts {
  uint32_t one;
  uint32_t two;
  explicit Shifts(size_t third) : one(powerOfX(8 * third - 33)), two(powerOfX(16 * third - 33)) {}
};

template <size_t Third>
inline uint32_t stretch(uint32_t state, const uint8_t* data, const Shifts& shifts) {
  uint32_t a = state;
  uint32_t b = 0;
  uint32_t c = 0;
  for (size_t i = 0; i < Third; i += 8) {
    a = Isa::eight(a, word(data + i));
    b = Isa::eight(b, word(data + Third + i));
    c = Isa::eight(c, word(data + 2 * Third + i));
  }
  return shift(a, shifts.two) ^ shift(b, shifts.one) ^ c;
}

inline uint32_t updateThreeWay(uint32_t state, const uint8_t* data, size_t length) {
  static const Shifts longShifts(kLongThird);
  static const Shifts shortShifts(kShortThird);
  for (; length >= 3 * kLongThird; length -= 3 * kLongThird, data += 3 * kLongThird) state = stretch<kLongThird>(state, data, longShifts);
  for (; length >= 3 * kShortThird; length -= 3 * kShortThird, data += 3 * kShortThird) state = stretch<kShortThird>(state, data, shortShifts);
  for (; length >= 8; length -= 8, data += 8) state = Isa::eight(state, word(data));
  for (; length > 0; length--, data++) state = Isa::one(state, *data);
  return state;
}

}  // namespace
