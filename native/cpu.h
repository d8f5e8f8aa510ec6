// What the processor can do, asked once.
#pragma once
#include <string>

namespace keelson {

struct CpuFeatures {
  bool ssse3 = false;
  bool sse42 = false;
  bool avx2 = false;
  bool gfni = false;
  bool avx512 = false;  // F, BW and VL, and the system saves the registers
  bool vpclmul = false;
  bool armCrc = false;  // the crc32c instructions and pmull
};

const CpuFeatures& cpuFeatures();
std::string cpuModel();

}  // namespace keelson
