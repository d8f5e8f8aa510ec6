#pragma once
#include <napi.h>

namespace keelson::gf256 {

struct Plan;
// The plan of a handle from gfPrepare; throws a TypeError when it is none.
const Plan& planArgument(Napi::Value value);

Napi::Value gfPrepare(const Napi::CallbackInfo& info);
void gfApply(const Napi::CallbackInfo& info);
void gfApplyViews(const Napi::CallbackInfo& info);
void gfCheck(const Napi::CallbackInfo& info);

}  // namespace keelson::gf256
