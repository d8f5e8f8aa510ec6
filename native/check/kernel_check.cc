// kernel-check [SEED]: every kernel and checksum that this processor can run, against the reference, between guard pages. A program of its own, so
// that it can be built with sanitizers, and for another processor (test/system/native-kernels.test.ts builds and runs it).
#include <cstdio>
#include <cstdlib>

#include "check/check.h"

int main(int count, char** arguments) {
  const uint64_t seed = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1;
  for (const auto check : {keelson::check::checkGf256, keelson::check::checkCrc32c}) {
    const std::string failure = check(seed);
    if (failure.empty()) continue;
    std::printf("FAILED %s; seed %llu\n", failure.c_str(), static_cast<unsigned long long>(seed));
    return 1;
  }
  std::printf("passed\n");
  return 0;
}
