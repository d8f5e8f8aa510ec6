// The input of a fuzzer, read as arguments of the addon's entry points.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check/fake_node_api.h"
#include "gf256/dispatch.h"

namespace keelson::check {

// When the input is used up everything is zero.
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

// The entry points of native/io, and placing threads.
void fuzzDevices(FakeEnvironment& environment, Arguments& arguments);

}  // namespace keelson::check
