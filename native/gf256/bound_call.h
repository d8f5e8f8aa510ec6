#pragma once
#include <napi.h>

namespace keelson::gf256 {
// gfBind(plan, memory, control): a function without arguments that does what the control words say.
Napi::Value gfBind(const Napi::CallbackInfo& info);
}  // namespace keelson::gf256
