// The checksum functions as JavaScript sees them (src/native/addon-api.ts).
#include "crc32c/exports.h"

#include "crc32c/crc32c.h"
#include "views.h"

namespace keelson::crc32c {
namespace {

const Implementation& chosen(Napi::Env env) {
  const Implementation* implementation = chosenImplementation();
  if (implementation == nullptr) throw Napi::RangeError::New(env, "the checksum forced by KEELSON_CRC is not available on this processor");
  return *implementation;
}

void requireRoom(Napi::Env env, uint64_t index, uint64_t count, size_t length, const char* name) {
  if (count <= length && index <= length - count) return;
  throw Napi::RangeError::New(env, std::string(name) + " of " + std::to_string(length) + " elements has no room for " + std::to_string(count) + " from " + std::to_string(index));
}

}  // namespace

Napi::Value crc32cOf(const Napi::CallbackInfo& info) {
  const View<uint8_t> memory = bytesArgument(info[0], "memory");
  const uint64_t offset = countArgument(info[1], kSafeInteger, "offset");
  const uint64_t length = countArgument(info[2], kSafeInteger, "length");
  const uint64_t seed = countArgument(info[3], UINT32_MAX, "seed");
  requireInside(info.Env(), static_cast<double>(offset), length, memory.length, "offset");
  return Napi::Number::New(info.Env(), checksum(chosen(info.Env()), static_cast<uint32_t>(seed), memory.data + offset, length));
}

void crcBlocks(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const View<uint8_t> memory = bytesArgument(info[0], "memory");
  const View<double> offsets = doublesArgument(info[1], "offsets");
  const View<double> addresses = doublesArgument(info[2], "addresses");
  const uint64_t count = countArgument(info[3], kSafeInteger, "count");
  const View<uint32_t> out = wordsArgument(info[4], "out");
  const uint64_t outIndex = countArgument(info[5], kSafeInteger, "outIndex");
  const Implementation& implementation = chosen(env);
  requireRoom(env, 0, count, offsets.length, "offsets");
  requireRoom(env, 0, count, addresses.length, "addresses");
  requireRoom(env, outIndex, count, out.length, "out");
  for (uint64_t i = 0; i < count; i++) {
    requireInside(env, offsets.data[i], kBlockBytes, memory.length, "offset");
    if (!isCount(addresses.data[i])) throw Napi::RangeError::New(env, "addresses must be integers from 0 to 2^53 - 1");
  }
  for (uint64_t i = 0; i < count; i++) {
    out.data[outIndex + i] = blockChecksum(implementation, static_cast<uint64_t>(addresses.data[i]), memory.data + static_cast<size_t>(offsets.data[i]));
  }
}

void crcRun(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const View<uint8_t> memory = bytesArgument(info[0], "memory");
  const uint64_t offset = countArgument(info[1], kSafeInteger, "offset");
  const uint64_t firstAddress = countArgument(info[2], kSafeInteger, "firstAddress");
  const uint64_t count = countArgument(info[3], kSafeInteger / kBlockBytes, "count");
  const View<uint32_t> out = wordsArgument(info[4], "out");
  const uint64_t outIndex = countArgument(info[5], kSafeInteger, "outIndex");
  const Implementation& implementation = chosen(env);
  requireRoom(env, outIndex, count, out.length, "out");
  requireInside(env, static_cast<double>(offset), count * kBlockBytes, memory.length, "offset");
  for (uint64_t i = 0; i < count; i++) {
    out.data[outIndex + i] = blockChecksum(implementation, firstAddress + i, memory.data + offset + i * kBlockBytes);
  }
}

void copyCrcRun(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const View<uint8_t> source = bytesArgument(info[0], "source");
  const uint64_t sourceOffset = countArgument(info[1], kSafeInteger, "sourceOffset");
  const View<uint8_t> memory = bytesArgument(info[2], "memory");
  const uint64_t offset = countArgument(info[3], kSafeInteger, "offset");
  const uint64_t firstAddress = countArgument(info[4], kSafeInteger, "firstAddress");
  const uint64_t count = countArgument(info[5], kSafeInteger / kBlockBytes, "count");
  const View<uint32_t> out = wordsArgument(info[6], "out");
  const uint64_t outIndex = countArgument(info[7], kSafeInteger, "outIndex");
  const Implementation& implementation = chosen(env);
  const uint64_t bytes = count * kBlockBytes;
  requireRoom(env, outIndex, count, out.length, "out");
  requireInside(env, static_cast<double>(sourceOffset), bytes, source.length, "sourceOffset");
  requireInside(env, static_cast<double>(offset), bytes, memory.length, "offset");
  const uintptr_t from = reinterpret_cast<uintptr_t>(source.data) + sourceOffset;
  const uintptr_t to = reinterpret_cast<uintptr_t>(memory.data) + offset;
  if (from < to + bytes && to < from + bytes) throw Napi::RangeError::New(env, "the blocks lie over the place that they are copied to");
  copyBlocks(implementation, firstAddress, source.data + sourceOffset, memory.data + offset, count, out.data + outIndex);
}

Napi::Value isZeroOf(const Napi::CallbackInfo& info) {
  const View<uint8_t> memory = bytesArgument(info[0], "memory");
  const uint64_t offset = countArgument(info[1], kSafeInteger, "offset");
  const uint64_t length = countArgument(info[2], kSafeInteger, "length");
  requireInside(info.Env(), static_cast<double>(offset), length, memory.length, "offset");
  return Napi::Boolean::New(info.Env(), isZero(memory.data + offset, length));
}

}  // namespace keelson::crc32c
