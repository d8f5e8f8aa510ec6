// libFuzzer on the addon's entry points: any arguments, sensible and not. What must not happen is an access outside a view, undefined behaviour, or
// an end of the process; whether results are right is the business of kernel_check.cc.
#include <cstring>

#include "check/fuzz_arguments.h"
#include "crc32c/exports.h"
#include "gf256/bound_call.h"
#include "gf256/exports.h"

namespace keelson::check {
namespace {

constexpr size_t kMemoryMax = 20'000;

// Control words are written between the calls, as JavaScript does.
void callBound(FakeEnvironment& environment, Arguments& arguments, napi_value plan, napi_value memory, size_t words) {
  const napi_value control = arguments.orOther([&] { return environment.typedArray(napi_float64_array, arguments.below(words), nullptr, 0); });
  const napi_value bound = call(environment, gf256::gfBind, {plan, memory, control});
  if (of(bound).type != napi_function) return;
  for (size_t times = 0; times < 3; times++) {
    for (size_t i = 0; i < of(control).length; i++) {
      const size_t sensible = i == 0 ? 4 : i == 1 ? of(memory).length / 4 : i == 2 ? 3 : of(memory).length;
      const double value = arguments.anyNumber(sensible);
      std::memcpy(of(control).memory.get() + 8 * i, &value, 8);
    }
    callFunction(environment, bound);
  }
}

void applyMatrix(FakeEnvironment& environment, Arguments& arguments) {
  const size_t rows = 1 + arguments.below(12);
  const size_t columns = 1 + arguments.below(40);
  std::vector<uint8_t> coefficients(rows * columns);
  for (uint8_t& value : coefficients) value = arguments.byte();
  const napi_value matrix = arguments.orOther([&] { return environment.typedArray(napi_uint8_array, coefficients.size(), coefficients.data(), coefficients.size()); });
  const napi_value rowCount = arguments.orOther([&] { return environment.number(static_cast<double>(rows)); });
  const napi_value columnCount = arguments.orOther([&] { return environment.number(static_cast<double>(columns)); });
  napi_value plan = call(environment, gf256::gfPrepare, {matrix, rowCount, columnCount, arguments.isa()});
  plan = arguments.orOther([&] { return plan; });
  const uint8_t how = arguments.byte() & 7;
  if (how < 2) {
    const size_t length = arguments.below(700);
    call(environment, gf256::gfApplyViews, {plan, arguments.views(columns, length), arguments.views(rows, length), arguments.flag()});
    return;
  }
  const napi_value memory = arguments.bytes(kMemoryMax);
  const size_t size = of(memory).length;
  if (how < 4) return callBound(environment, arguments, plan, memory, 4 * (rows + columns));
  if (how < 6) {
    const napi_value firstWrong = arguments.doubles(4 * rows, 0);
    call(environment, gf256::gfCheck, {plan, memory, arguments.doubles(4 * columns, size), arguments.number(4), arguments.number(size / 4), firstWrong});
    return;
  }
  call(environment, gf256::gfApply,
       {plan, memory, arguments.doubles(4 * (rows + columns), size), arguments.number(4), arguments.number(size / 4), arguments.flag(), arguments.flag()});
}

void checksum(FakeEnvironment& environment, Arguments& arguments, uint8_t which) {
  const napi_value memory = arguments.bytes(kMemoryMax);
  const size_t size = of(memory).length;
  if (which == 0) call(environment, crc32c::crc32cOf, {memory, arguments.number(size), arguments.number(size), arguments.number(65535)});
  if (which == 1) call(environment, crc32c::isZeroOf, {memory, arguments.number(size), arguments.number(size)});
  if (which == 2) {
    call(environment, crc32c::crcBlocks, {memory, arguments.doubles(8, size), arguments.doubles(8, 65535), arguments.number(8), arguments.words(16), arguments.number(8)});
  }
  if (which == 3) {
    call(environment, crc32c::crcRun, {memory, arguments.number(size), arguments.number(65535), arguments.number(4), arguments.words(16), arguments.number(8)});
    call(environment, crc32c::copyCrcRun,
         {memory, arguments.number(size), memory, arguments.number(size), arguments.number(65535), arguments.number(4), arguments.words(16), arguments.number(8)});
  }
}

}  // namespace
}  // namespace keelson::check

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::check::FakeEnvironment environment;
  keelson::check::Arguments arguments(environment, data, size);
  const uint8_t choice = arguments.byte();
  if (choice >= 0xe0) keelson::check::fuzzDevices(environment, arguments);
  else if ((choice & 1) == 0) keelson::check::applyMatrix(environment, arguments);
  else keelson::check::checksum(environment, arguments, (choice >> 1) & 3);
  return 0;
}
