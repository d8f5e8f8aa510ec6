#pragma once
#include <napi.h>

namespace keelson::crc32c {
Napi::Value crc32cOf(const Napi::CallbackInfo& info);
void crcBlocks(const Napi::CallbackInfo& info);
void crcRun(const Napi::CallbackInfo& info);
void copyCrcRun(const Napi::CallbackInfo& info);
Napi::Value isZeroOf(const Napi::CallbackInfo& info);
}  // namespace keelson::crc32c
