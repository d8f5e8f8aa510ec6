// libFuzzer on the addon's entry points: any arguments, sensible and not. What must not happen is an access outside a view, undefined behaviour, or
// an end of the process; whether results are right is the business of kernel_check.cc.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "check/fake_node_api.h"
#include "crc32c/exports.h"
#include "gf256/bound_call.h"
#include "gf256/dispatch.h"
#include "gf256/exports.h"

namespace keelson::check {
namespace {

// The input, read as arguments; when it is used up everything is zero.
class Arguments {
 public:
  Arguments(FakeEnvironment& environment, const uint8_t* data, size_t size) : environment_(environment), data_(data), size_(size) {}

  uint8_t byte() {
    if (size_ == 0) return 0;
    size_--;
    return *data_++;
  }
  size_t below(size_t bound) { return (byte() | static_cast<size_t>(byte()) << 8) % bound; }

  // Mostly what makes sense, sometimes what lies about a power of two, sometimes any double.
  double anyNumber(size_t sensible) {
    const uint8_t kind = byte();
    if (kind < 200) return static_cast<double>(below(sensible + 1));
    if (kind < 230) return std::ldexp(1.0, static_cast<int>(byte() % 70)) + (static_cast<int>(byte() % 5) - 2);
    double value;
    uint8_t raw[8];
    for (uint8_t& each : raw) each = byte();
    std::memcpy(&value, raw, 8);
    return value;
  }

  napi_value number(size_t sensible) { return orOther([&] { return environment_.number(anyNumber(sensible)); }); }
  napi_value flag() { return orOther([&] { return environment_.boolean((byte() & 1) != 0); }); }
  napi_value bytes(size_t lengthMax) {
    return orOther([&] {
      const size_t length = below(lengthMax + 1);
      const size_t wanted = below(64);  // before size_ is looked at: it takes bytes itself
      const size_t given = std::min({length, size_, wanted});
      const napi_value view = environment_.typedArray(napi_uint8_array, length, data_, given);
      data_ += given;
      size_ -= given;
      return view;
    });
  }
  napi_value words(size_t lengthMax) {
    return orOther([&] { return environment_.typedArray(napi_uint32_array, below(lengthMax + 1), nullptr, 0); });
  }
  // Offsets into a memory of about `sensible` bytes.
  napi_value doubles(size_t lengthMax, size_t sensible) {
    return orOther([&] {
      std::vector<double> values(below(lengthMax + 1));
      for (double& value : values) value = anyNumber(sensible);
      return environment_.typedArray(napi_float64_array, values.size(), reinterpret_cast<const uint8_t*>(values.data()), values.size() * 8);
    });
  }
  napi_value isa() {
    const auto& kernels = gf256::availableKernels();
    const size_t choice = below(kernels.size() + 2);
    return orOther([&] { return environment_.text(choice < kernels.size() ? kernels[choice]->name : choice == kernels.size() ? "" : "abacus"); });
  }
  napi_value views(size_t countMax, size_t length) {
    return orOther([&] {
      std::vector<napi_value> list(below(countMax + 1));
      for (napi_value& view : list) view = (byte() & 31) == 31 ? bytes(64) : environment_.typedArray(napi_uint8_array, length, data_, std::min(size_, length));
      return environment_.array(std::move(list));
    });
  }

  // One argument in sixteen is of another kind than the one asked for.
  template <typename Make>
  napi_value orOther(Make make) {
    const uint8_t kind = byte();
    if (kind < 240) return make();
    switch (kind & 7) {
      case 0: return environment_.undefined();
      case 1: return environment_.text("text");
      case 2: return environment_.number(anyNumber(100));
      case 3: return environment_.typedArray(napi_int32_array, below(100), nullptr, 0);
      case 4: return environment_.array({environment_.undefined()});
      case 5: return environment_.typedArray(napi_uint8_array, 0, nullptr, 0);
      case 6: return environment_.boolean(true);
      default: return handleOf(environment_.make(napi_object));
    }
  }

 private:
  FakeEnvironment& environment_;
  const uint8_t* data_;
  size_t size_;
};

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
  if ((choice & 1) == 0) keelson::check::applyMatrix(environment, arguments);
  else keelson::check::checksum(environment, arguments, (choice >> 1) & 3);
  return 0;
}
