// As much of Node-API as the addon's entry points ask for, without JavaScript: so that a fuzzer calls them millions of times, and each view's memory
// is a block of its own that AddressSanitizer watches.
#pragma once
#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace keelson::check {

struct FakeValue {
  napi_valuetype type = napi_undefined;
  double number = 0;
  bool flag = false;
  std::string text;
  bool isTypedArray = false;
  napi_typedarray_type elements = napi_uint8_array;
  std::unique_ptr<uint8_t[]> memory;
  size_t length = 0;
  bool isArray = false;
  std::vector<napi_value> items;
  void* external = nullptr;
  napi_finalize finalize = nullptr;
  void* finalizeHint = nullptr;
  napi_callback callback = nullptr;
  void* callbackData = nullptr;
};

// The values of one call; all are gone, and their finalizers have run, when it is.
class FakeEnvironment {
 public:
  FakeEnvironment() = default;
  ~FakeEnvironment();
  FakeEnvironment(const FakeEnvironment&) = delete;
  FakeEnvironment& operator=(const FakeEnvironment&) = delete;

  napi_env handle() { return reinterpret_cast<napi_env>(this); }
  FakeValue& make(napi_valuetype type);
  napi_value undefined();
  napi_value number(double value);
  napi_value boolean(bool value);
  napi_value text(const std::string& value);
  // `length` elements of `bytes`; what bytes do not cover is zero.
  napi_value typedArray(napi_typedarray_type elements, size_t length, const uint8_t* bytes, size_t count);
  napi_value array(std::vector<napi_value> items);

 private:
  std::deque<FakeValue> values_;
};

inline FakeValue& of(napi_value value) { return *reinterpret_cast<FakeValue*>(value); }
inline napi_value handleOf(FakeValue& value) { return reinterpret_cast<napi_value>(&value); }

// What a callback is given.
struct FakeCall {
  const std::vector<napi_value>& arguments;
  void* data;
};

// Calls an entry point with these arguments; undefined when it threw.
template <typename Function>
napi_value call(FakeEnvironment& environment, Function function, const std::vector<napi_value>& arguments) {
  FakeCall given{arguments, nullptr};
  const Napi::CallbackInfo info(environment.handle(), reinterpret_cast<napi_callback_info>(&given));
  try {
    if constexpr (std::is_void_v<decltype(function(info))>) {
      function(info);
    } else {
      return function(info);
    }
  } catch (const Napi::Error&) {
    // What a wrong argument deserves.
  }
  return environment.undefined();
}

// Calls a function that an entry point has made, without arguments.
inline void callFunction(FakeEnvironment& environment, napi_value function) {
  const std::vector<napi_value> none;
  FakeCall given{none, of(function).callbackData};
  of(function).callback(environment.handle(), reinterpret_cast<napi_callback_info>(&given));
}

}  // namespace keelson::check
