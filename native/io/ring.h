#pragma once
#include <napi.h>

namespace keelson::io {
// Adds Ring and ringAvailable.
void registerRing(Napi::Env env, Napi::Object exports);
}  // namespace keelson::io
