// Registers what the addon offers; src/native/addon-api.ts says what each function does.
#include <napi.h>

#include "cpu.h"
#include "crc32c/crc32c.h"
#include "crc32c/exports.h"
#include "gf256/bound_call.h"
#include "gf256/dispatch.h"
#include "gf256/exports.h"
#include "io/device.h"
#include "io/ring.h"
#include "place_thread.h"
#include "self_test.h"
#include "views.h"

namespace keelson {
namespace {

Napi::Value cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const gf256::Kernel* kernel = gf256::chosenKernel();
  const crc32c::Implementation* crc = crc32c::chosenImplementation();
  if (kernel == nullptr) throw Napi::RangeError::New(env, "KEELSON_ISA names a kernel that this processor cannot run");
  if (crc == nullptr) throw Napi::RangeError::New(env, "KEELSON_CRC names a checksum that this processor cannot run");
  Napi::Array available = Napi::Array::New(env);
  for (const gf256::Kernel* each : gf256::availableKernels()) available.Set(available.Length(), each->name);
  Napi::Object report = Napi::Object::New(env);
  report.Set("isa", kernel->name);
  report.Set("available", available);
  report.Set("crc", crc->name);
  report.Set("model", cpuModel());
  return report;
}

Napi::Value alignedOffset(const Napi::CallbackInfo& info) {
  const View<uint8_t> view = bytesArgument(info[0], "view");
  const uint64_t alignment = countArgument(info[1], uint64_t{1} << 40, "alignment");
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) throw Napi::RangeError::New(info.Env(), "alignment must be a power of two");
  const uint64_t address = reinterpret_cast<uintptr_t>(view.data);
  return Napi::Number::New(info.Env(), static_cast<double>((alignment - (address & (alignment - 1))) & (alignment - 1)));
}

Napi::Value runSelfTest(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), selfTest()); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("cpu", Napi::Function::New(env, cpu, "cpu"));
  exports.Set("alignedOffset", Napi::Function::New(env, alignedOffset, "alignedOffset"));
  exports.Set("selfTest", Napi::Function::New(env, runSelfTest, "selfTest"));
  exports.Set("gfPrepare", Napi::Function::New(env, gf256::gfPrepare, "gfPrepare"));
  exports.Set("gfApply", Napi::Function::New(env, gf256::gfApply, "gfApply"));
  exports.Set("gfApplyViews", Napi::Function::New(env, gf256::gfApplyViews, "gfApplyViews"));
  exports.Set("gfBind", Napi::Function::New(env, gf256::gfBind, "gfBind"));
  exports.Set("gfCheck", Napi::Function::New(env, gf256::gfCheck, "gfCheck"));
  exports.Set("crc32c", Napi::Function::New(env, crc32c::crc32cOf, "crc32c"));
  exports.Set("crcBlocks", Napi::Function::New(env, crc32c::crcBlocks, "crcBlocks"));
  exports.Set("crcRun", Napi::Function::New(env, crc32c::crcRun, "crcRun"));
  exports.Set("copyCrcRun", Napi::Function::New(env, crc32c::copyCrcRun, "copyCrcRun"));
  exports.Set("isZero", Napi::Function::New(env, crc32c::isZeroOf, "isZero"));
  exports.Set("openDevice", Napi::Function::New(env, io::openDevice, "openDevice"));
  exports.Set("closeDevice", Napi::Function::New(env, io::closeDevice, "closeDevice"));
  exports.Set("duplicate", Napi::Function::New(env, io::duplicate, "duplicate"));
  exports.Set("dupOver", Napi::Function::New(env, io::dupOver, "dupOver"));
  exports.Set("geometry", Napi::Function::New(env, io::geometry, "geometry"));
  exports.Set("placeThread", Napi::Function::New(env, placeThread, "placeThread"));
  io::registerRing(env, exports);
  return exports;
}

}  // namespace
}  // namespace keelson

static Napi::Object initialise(Napi::Env env, Napi::Object exports) { return keelson::init(env, exports); }
NODE_API_MODULE(keelson, initialise)
