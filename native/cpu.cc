#include "cpu.h"

#include <fstream>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace keelson {
namespace {

CpuFeatures detect() {
  CpuFeatures found;
#if defined(__x86_64__)
  // The builtin also checks that the system saves the wide registers (XCR0).
  __builtin_cpu_init();
  found.ssse3 = __builtin_cpu_supports("ssse3");
  found.sse42 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
  found.avx2 = __builtin_cpu_supports("avx2");
  found.gfni = __builtin_cpu_supports("gfni");
  found.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  found.vpclmul = found.avx512 && found.sse42 && __builtin_cpu_supports("vpclmulqdq");
#elif defined(__aarch64__)
  const unsigned long bits = getauxval(AT_HWCAP);
  found.armCrc = (bits & HWCAP_CRC32) != 0 && (bits & HWCAP_PMULL) != 0;
#endif
  return found;
}

}  // namespace

const CpuFeatures& cpuFeatures() {
  static const CpuFeatures features = detect();
  return features;
}

std::string cpuModel() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  std::string part;
  while (std::getline(file, line)) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (line.rfind("model name", 0) == 0) return line.substr(colon + 2);
    // arm64 kernels give numbers alone: implementer, then part.
    if (line.rfind("CPU implementer", 0) == 0) part = "implementer " + line.substr(colon + 2);
    if (line.rfind("CPU part", 0) == 0) return part + " part " + line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace keelson
