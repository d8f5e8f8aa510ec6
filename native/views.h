// Reading arguments: the views and integers that cross from JavaScript, checked before anything is touched.
#pragma once
#include <napi.h>

#include <cstddef>
#include <cstdint>

namespace keelson {

template <typename T>
struct View {
  T* data;
  size_t length;  // elements
};

// napi_get_arraybuffer_info fails on a SharedArrayBuffer, the typed-array call does not: so only typed arrays are taken.
View<uint8_t> bytesArgument(Napi::Value value, const char* name);
View<double> doublesArgument(Napi::Value value, const char* name);
View<uint32_t> wordsArgument(Napi::Value value, const char* name);
View<int32_t> integersArgument(Napi::Value value, const char* name);

// An integer in [0, max]; TypeError when it is no number, RangeError when outside or fractional.
uint64_t countArgument(Napi::Value value, uint64_t max, const char* name);
bool flagArgument(Napi::Value value, const char* name);
std::string textArgument(Napi::Value value, const char* name);

constexpr uint64_t kSafeInteger = (uint64_t{1} << 53) - 1;

// True when value is an integer in [0, 2^53).
inline bool isCount(double value) {
  return value >= 0 && value <= static_cast<double>(kSafeInteger) && value == static_cast<double>(static_cast<uint64_t>(value));
}

// RangeError unless [offset, offset + length) lies inside a memory of `size` bytes.
void requireInside(Napi::Env env, double offset, uint64_t length, size_t size, const char* name);

// Error with a string `code` (ENOENT ...) and a numeric `errno`, as node:fs gives them.
Napi::Error systemError(Napi::Env env, int number, const std::string& what);
std::string errnoName(int number);

}  // namespace keelson
