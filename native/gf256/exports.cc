// gfPrepare and gfApply as JavaScript sees them (src/native/addon-api.ts).
#include "gf256/exports.h"

#include <memory>

#include "gf256/check.h"
#include "gf256/dispatch.h"
#include "views.h"

namespace keelson::gf256 {
namespace {

// The views' addresses; all must be of one length, which is taken from the first one seen.
template <typename Pointer>
void viewsArgument(Napi::Value value, size_t count, const char* name, Pointer* pointers, size_t& length, bool& first) {
  const Napi::Env env = value.Env();
  if (!value.IsArray()) throw Napi::TypeError::New(env, std::string(name) + " must be an array of Uint8Array");
  const Napi::Array list = value.As<Napi::Array>();
  if (list.Length() != count) throw Napi::RangeError::New(env, std::string(name) + " must hold " + std::to_string(count) + " views, found " + std::to_string(list.Length()));
  for (uint32_t i = 0; i < count; i++) {
    const View<uint8_t> view = bytesArgument(list.Get(i), name);
    if (first) length = view.length;
    first = false;
    if (view.length != length) throw Napi::RangeError::New(env, "all views must be of one length, found " + std::to_string(length) + " and " + std::to_string(view.length));
    pointers[i] = view.data;
  }
}

// The first five arguments of gfApply and gfCheck: groups of shards in one memory, each inside it. withRows: outputs too, else inputs alone.
struct Groups {
  const Plan& plan;
  View<uint8_t> memory;
  const double* offsets;
  size_t groups;
  size_t shards;
  size_t length;

  // Of the given shard of the given group.
  uint8_t* at(size_t group, size_t shard) const { return memory.data + static_cast<size_t>(offsets[group * shards + shard]); }
};

Groups groupsArguments(const Napi::CallbackInfo& info, bool withRows) {
  const Plan& plan = planArgument(info[0]);
  const View<uint8_t> memory = bytesArgument(info[1], "memory");
  const View<double> offsets = doublesArgument(info[2], "offsets");
  const size_t groups = countArgument(info[3], kSafeInteger, "groups");
  const size_t length = countArgument(info[4], kSafeInteger, "length");
  const size_t shards = plan.columns + (withRows ? plan.rows : 0);
  if (groups > offsets.length / shards) {
    throw Napi::RangeError::New(info.Env(), std::string("offsets must hold groups x ") + (withRows ? "(cols + rows)" : "cols") + " = " + std::to_string(groups) +
                                                " x " + std::to_string(shards) + " numbers, found " + std::to_string(offsets.length));
  }
  for (size_t i = 0; i < groups * shards; i++) requireInside(info.Env(), offsets.data[i], length, memory.length, "offset");
  return {plan, memory, offsets.data, groups, shards, length};
}

// undefined: by size.
Stores storesArgument(Napi::Value value) {
  if (value.IsUndefined()) return Stores::bySize;
  return flagArgument(value, "nonTemporal") ? Stores::streamed : Stores::cached;
}

}  // namespace

const Plan& planArgument(Napi::Value value) {
  void* handle = nullptr;
  if (!value.IsExternal() || napi_get_value_external(value.Env(), value, &handle) != napi_ok || handle == nullptr ||
      static_cast<Plan*>(handle)->magic != Plan::kMagic) {
    throw Napi::TypeError::New(value.Env(), "plan must come from gfPrepare");
  }
  return *static_cast<Plan*>(handle);
}

Napi::Value gfPrepare(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const View<uint8_t> coefficients = bytesArgument(info[0], "coefficients");
  const size_t rows = countArgument(info[1], 255, "rows");
  const size_t columns = countArgument(info[2], 255, "cols");
  const std::string isa = textArgument(info[3], "isa");
  if (rows == 0 || columns == 0) throw Napi::RangeError::New(env, "rows and cols must be from 1 to 255");
  if (coefficients.length != rows * columns) {
    throw Napi::RangeError::New(env, "coefficients must hold rows x cols = " + std::to_string(rows * columns) + " bytes, found " + std::to_string(coefficients.length));
  }
  const Kernel* kernel = isa.empty() ? chosenKernel() : findKernel(isa);
  if (kernel == nullptr) throw Napi::RangeError::New(env, "isa " + (isa.empty() ? "forced by KEELSON_ISA" : isa) + " is not available on this processor");
  auto plan = std::make_unique<Plan>(kernel, coefficients.data, rows, columns);
  Plan* handle = plan.release();
  return Napi::External<Plan>::New(env, handle, [](Napi::Env, Plan* owned) { delete owned; });
}

void gfApply(const Napi::CallbackInfo& info) {
  const Groups given = groupsArguments(info, true);
  const Plan& plan = given.plan;
  const bool accumulate = flagArgument(info[5], "accumulate");
  const ApplyOptions options = optionsFor(accumulate, storesArgument(info[6]), given.groups, given.shards, given.length);
  const uint8_t* in[256];
  uint8_t* out[256];
  for (size_t g = 0; g < given.groups; g++) {
    for (size_t c = 0; c < plan.columns; c++) in[c] = given.at(g, c);
    for (size_t r = 0; r < plan.rows; r++) out[r] = given.at(g, plan.columns + r);
    apply(plan, in, out, given.length, options);
  }
}

void gfApplyViews(const Napi::CallbackInfo& info) {
  const Plan& plan = planArgument(info[0]);
  const uint8_t* in[256];
  uint8_t* out[256];
  size_t length = 0;
  bool first = true;
  viewsArgument(info[1], plan.columns, "inputs", in, length, first);
  viewsArgument(info[2], plan.rows, "outputs", out, length, first);
  apply(plan, in, out, length, optionsFor(flagArgument(info[3], "accumulate"), Stores::bySize, 1, plan.columns + plan.rows, length));
}

void gfCheck(const Napi::CallbackInfo& info) {
  const Groups given = groupsArguments(info, false);
  const Plan& plan = given.plan;
  const View<double> firstWrong = doublesArgument(info[5], "firstWrong");
  if (given.groups > firstWrong.length / plan.rows) {
    throw Napi::RangeError::New(info.Env(), "firstWrong must hold groups x rows = " + std::to_string(given.groups) + " x " + std::to_string(plan.rows) +
                                                " numbers, found " + std::to_string(firstWrong.length));
  }
  CheckScratch scratch(plan);
  const uint8_t* in[256];
  for (size_t g = 0; g < given.groups; g++) {
    for (size_t c = 0; c < plan.columns; c++) in[c] = given.at(g, c);
    check(plan, scratch, in, given.length, firstWrong.data + g * plan.rows);
  }
}

}  // namespace keelson::gf256
