// Folding by carry-less multiplication, 128 bits at a time, for files compiled with PCLMULQDQ: to be included where the target is set. No include
// guard: each including file gets its own copy, compiled for its own target.
// Source: Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ", Intel, 2009.

namespace {

// Multipliers that carry a 128-bit lane `bits` further: its first half counts 64 bits more. The product of two reflected 64-bit numbers
// stands one bit low, and a constant in the low 32 bits 32 bits low: hence the 33.
struct Fold {
  uint64_t first;
  uint64_t second;
  explicit Fold(uint64_t bits) : first(powerOfX(bits + 64 - 33)), second(powerOfX(bits - 33)) {}
};

inline __m128i constantsOf(const Fold& by) { return _mm_set_epi64x(static_cast<long long>(by.second), static_cast<long long>(by.first)); }

inline __m128i fold(__m128i value, __m128i constants, __m128i next) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(value, constants, 0x00), _mm_clmulepi64_si128(value, constants, 0x11)), next);
}

inline __m128i loadLane(const uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// The lane holds what came before `data`: the rest of the folding, and what is left of the length goes through the crc32 instruction.
inline uint32_t finish(__m128i lane, __m128i by16, const uint8_t* data, size_t length) {
  for (; length >= 16; length -= 16, data += 16) lane = fold(lane, by16, loadLane(data));
  uint64_t rest = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(lane)));
  rest = _mm_crc32_u64(rest, static_cast<uint64_t>(_mm_extract_epi64(lane, 1)));
  return length > 0 ? updateSse42(static_cast<uint32_t>(rest), data, length) : static_cast<uint32_t>(rest);
}

}  // namespace
