// A call with seven arguments costs 190 ns, more than 4+1 of 4 KiB takes to encode. So what does not change from call to call is bound once, what does is
// written into control words, and the call has no argument at all. Raw Node-API here: the C++ wrapper's own objects would cost as much again.
#include "gf256/bound_call.h"

#include <cmath>
#include <memory>

#include "gf256/exports.h"
#include "gf256/plan.h"
#include "views.h"

namespace keelson::gf256 {
namespace {

// Words of `control` (src/native/addon-api.ts, GF_CONTROL_*); the offsets follow.
constexpr size_t kGroups = 0;
constexpr size_t kLength = 1;
constexpr size_t kFlags = 2;
constexpr size_t kOffsets = 3;
constexpr int64_t kAccumulate = 1;
constexpr int64_t kNonTemporal = 2;
constexpr int64_t kCached = 4;
constexpr double kFlagsMax = 7;

struct Bound {
  const Plan* plan;
  View<uint8_t> memory;
  View<double> control;
  // Keep what the pointers point to alive for as long as the function is.
  Napi::Reference<Napi::Value> planHandle;
  Napi::Reference<Napi::Value> memoryHandle;
  Napi::Reference<Napi::Value> controlHandle;
};

// As isCount, but in signed conversions, which are one instruction each.
bool isWhole(double value, double max) { return value >= 0 && value <= max && static_cast<double>(static_cast<int64_t>(value)) == value; }

// Whether no output lies over another shard of its group. Ascending shards, the usual case, are apart without a second look.
bool areApart(const double* offsets, size_t inputs, size_t shards, double length) {
  bool ascending = true;
  for (size_t i = 1; i < shards; i++) ascending = ascending && offsets[i] - offsets[i - 1] >= length;
  if (ascending) return true;
  for (size_t i = inputs; i < shards; i++) {
    for (size_t j = 0; j < i; j++) {
      if (std::fabs(offsets[i] - offsets[j]) < length) return false;
    }
  }
  return true;
}

// nullptr, or what is wrong; nothing is touched then.
const char* run(const Bound& bound) {
  const Plan& plan = *bound.plan;
  const double* control = bound.control.data;
  const double size = static_cast<double>(bound.memory.length);
  if (!isWhole(control[kGroups], static_cast<double>(bound.control.length)) || !isWhole(control[kLength], size) || !isWhole(control[kFlags], kFlagsMax)) {
    return "control words are out of range";
  }
  const size_t groups = static_cast<size_t>(static_cast<int64_t>(control[kGroups]));
  const size_t length = static_cast<size_t>(static_cast<int64_t>(control[kLength]));
  const int64_t flags = static_cast<int64_t>(control[kFlags]);
  const double last = size - control[kLength];
  const size_t shards = plan.columns + plan.rows;
  if (groups > (bound.control.length - kOffsets) / shards) return "control has no room for so many groups";
  const double* offsets = control + kOffsets;
  for (size_t i = 0; i < groups * shards; i++) {
    if (!isWhole(offsets[i], last)) return "an offset is outside the memory";
  }
  for (size_t g = 0; g < groups; g++) {
    if (!areApart(offsets + g * shards, plan.columns, shards, control[kLength])) return "an output lies over another shard";
  }
  const uint8_t* in[256];
  uint8_t* out[256];
  const Stores stores = (flags & kNonTemporal) != 0 ? Stores::streamed : (flags & kCached) != 0 ? Stores::cached : Stores::bySize;
  const ApplyOptions options = optionsFor((flags & kAccumulate) != 0, stores, groups, shards, length);
  for (size_t g = 0; g < groups; g++, offsets += shards) {
    for (size_t c = 0; c < plan.columns; c++) in[c] = bound.memory.data + static_cast<int64_t>(offsets[c]);
    for (size_t r = 0; r < plan.rows; r++) out[r] = bound.memory.data + static_cast<int64_t>(offsets[plan.columns + r]);
    apply(plan, in, out, length, options);
  }
  return nullptr;
}

napi_value callBound(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  if (napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) return nullptr;
  const char* trouble = run(*static_cast<const Bound*>(data));
  if (trouble != nullptr) napi_throw_range_error(env, nullptr, trouble);
  return nullptr;
}

}  // namespace

Napi::Value gfBind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto bound = std::make_unique<Bound>();
  bound->plan = &planArgument(info[0]);
  bound->memory = bytesArgument(info[1], "memory");
  bound->control = doublesArgument(info[2], "control");
  if (bound->control.length < kOffsets) throw Napi::RangeError::New(env, "control must hold at least " + std::to_string(kOffsets) + " words");
  bound->planHandle = Napi::Reference<Napi::Value>::New(info[0], 1);
  bound->memoryHandle = Napi::Reference<Napi::Value>::New(info[1], 1);
  bound->controlHandle = Napi::Reference<Napi::Value>::New(info[2], 1);
  napi_value function = nullptr;
  if (napi_create_function(env, "gfBound", NAPI_AUTO_LENGTH, callBound, bound.get(), &function) != napi_ok) throw Napi::Error::New(env);
  Napi::Function result(env, function);
  result.AddFinalizer([](Napi::Env, Bound* owned) { delete owned; }, bound.get());
  bound.release();
  return result;
}

}  // namespace keelson::gf256
