#include "gf256/dispatch.h"

#include <cstdlib>

#include "cpu.h"

namespace keelson::gf256 {
namespace {

const Kernel kKernels[] = {
    {"scalar", [] { return true; }, applyScalar, kRowsPerPassMax},
#if defined(__x86_64__)
    {"ssse3", [] { return cpuFeatures().ssse3; }, applySsse3, 3},
    {"avx2", [] { return cpuFeatures().avx2; }, applyAvx2, 4},
    {"avx512", [] { return cpuFeatures().avx512; }, applyAvx512, 4},
    {"avx2-gfni", [] { return cpuFeatures().avx2 && cpuFeatures().gfni; }, applyAvx2Gfni, 6},
    {"avx512-gfni", [] { return cpuFeatures().avx512 && cpuFeatures().gfni; }, applyAvx512Gfni, 6},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, applyNeon, 4},
#endif
};

}  // namespace

const std::vector<const Kernel*>& availableKernels() {
  static const std::vector<const Kernel*> available = [] {
    std::vector<const Kernel*> list;
    for (const Kernel& kernel : kKernels) {
      if (kernel.supported()) list.push_back(&kernel);
    }
    return list;
  }();
  return available;
}

const Kernel* findKernel(const std::string& name) {
  for (const Kernel* kernel : availableKernels()) {
    if (name == kernel->name) return kernel;
  }
  return nullptr;
}

const Kernel* chosenKernel() {
  static const Kernel* const chosen = [] {
    const char* forced = std::getenv("KEELSON_ISA");
    return forced != nullptr && forced[0] != 0 ? findKernel(forced) : availableKernels().back();
  }();
  return chosen;
}

}  // namespace keelson::gf256
