// The one table of kernels and the choice among them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gf256/plan.h"

namespace keelson::gf256 {

// targets[r] (^)= sum over the pass's columns of coefficient * sources[c], any length, any alignment.
using ApplyFunction = void (*)(const Pass& pass, const uint8_t* const* sources, uint8_t* const* targets, size_t length, ApplyOptions options);

struct Kernel {
  const char* name;
  bool (*supported)();
  ApplyFunction apply;
  size_t rowsPerPass;  // as many as its registers hold the sums of
};

// Those that this processor can run, slowest first.
const std::vector<const Kernel*>& availableKernels();
// nullptr when there is none of that name here.
const Kernel* findKernel(const std::string& name);
// KEELSON_ISA when set (nullptr when it names none that is available), else the fastest.
const Kernel* chosenKernel();

void applyScalar(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
// The bytes from `start` on: what is left of a vector kernel's run.
void applyScalarFrom(const Pass&, const uint8_t* const*, uint8_t* const*, size_t start, size_t length, bool accumulate);
#if defined(__x86_64__)
void applySsse3(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
void applyAvx2(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
void applyAvx2Gfni(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
void applyAvx512(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
void applyAvx512Gfni(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
#elif defined(__aarch64__)
void applyNeon(const Pass&, const uint8_t* const*, uint8_t* const*, size_t, ApplyOptions);
#endif

}  // namespace keelson::gf256
