#pragma once
#include <napi.h>

namespace keelson::gf256 {
Napi::Value gfPrepare(const Napi::CallbackInfo& info);
void gfApply(const Napi::CallbackInfo& info);
void gfApplyViews(const Napi::CallbackInfo& info);
}  // namespace keelson::gf256
