#pragma once
#include <napi.h>

namespace keelson::io {
Napi::Value openDevice(const Napi::CallbackInfo& info);
void closeDevice(const Napi::CallbackInfo& info);
void dupOver(const Napi::CallbackInfo& info);
Napi::Value duplicate(const Napi::CallbackInfo& info);
Napi::Value geometry(const Napi::CallbackInfo& info);
}  // namespace keelson::io
