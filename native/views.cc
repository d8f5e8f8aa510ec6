#include "views.h"

#include <cstring>
#include <string>

namespace keelson {
namespace {

template <typename T>
View<T> viewArgument(Napi::Value value, napi_typedarray_type wanted, const char* wantedName, const char* name) {
  napi_env env = value.Env();
  bool isTyped = false;
  if (napi_is_typedarray(env, value, &isTyped) != napi_ok || !isTyped) {
    throw Napi::TypeError::New(env, std::string(name) + " must be a " + wantedName);
  }
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok || type != wanted) {
    throw Napi::TypeError::New(env, std::string(name) + " must be a " + wantedName);
  }
  return {static_cast<T*>(data), length};
}

}  // namespace

View<uint8_t> bytesArgument(Napi::Value value, const char* name) { return viewArgument<uint8_t>(value, napi_uint8_array, "Uint8Array", name); }
View<double> doublesArgument(Napi::Value value, const char* name) { return viewArgument<double>(value, napi_float64_array, "Float64Array", name); }
View<uint32_t> wordsArgument(Napi::Value value, const char* name) { return viewArgument<uint32_t>(value, napi_uint32_array, "Uint32Array", name); }
View<int32_t> integersArgument(Napi::Value value, const char* name) { return viewArgument<int32_t>(value, napi_int32_array, "Int32Array", name); }

uint64_t countArgument(Napi::Value value, uint64_t max, const char* name) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!isCount(number) || number > static_cast<double>(max)) {
    throw Napi::RangeError::New(value.Env(), std::string(name) + " must be an integer from 0 to " + std::to_string(max) + ", found " + std::to_string(number));
  }
  return static_cast<uint64_t>(number);
}

bool flagArgument(Napi::Value value, const char* name) {
  if (!value.IsBoolean()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be true or false");
  return value.As<Napi::Boolean>().Value();
}

std::string textArgument(Napi::Value value, const char* name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

void requireInside(Napi::Env env, double offset, uint64_t length, size_t size, const char* name) {
  if (isCount(offset) && length <= size && static_cast<uint64_t>(offset) <= size - length) return;
  throw Napi::RangeError::New(env, std::string(name) + " " + std::to_string(offset) + " + length " + std::to_string(length) +
                                       " is outside the memory of " + std::to_string(size) + " bytes");
}

std::string errnoName(int number) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
  if (const char* name = strerrorname_np(number)) return name;
#endif
  return "ERRNO_" + std::to_string(number);
}

Napi::Error systemError(Napi::Env env, int number, const std::string& what) {
  Napi::Error error = Napi::Error::New(env, errnoName(number) + ": " + std::strerror(number) + ", " + what);
  error.Set("code", Napi::String::New(env, errnoName(number)));
  error.Set("errno", Napi::Number::New(env, number));
  return error;
}

}  // namespace keelson
