// What the kernels are held against, one function a subject. Each prints what it has tried and returns '' or what failed.
#pragma once
#include <cstdint>
#include <string>

namespace keelson::check {

std::string checkGf256(uint64_t seed);
std::string checkCrc32c(uint64_t seed);

}  // namespace keelson::check
