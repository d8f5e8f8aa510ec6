#include "cpu.h"

#include <fstream>

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
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    return colon == std::string::npos ? "" : line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace keelson
