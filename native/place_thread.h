#pragma once
#include <napi.h>

namespace keelson {
Napi::Value placeThread(const Napi::CallbackInfo& info);
}  // namespace keelson
