#include "check/fake_node_api.h"

#include <cstdlib>
#include <cstring>

namespace keelson::check {

FakeEnvironment::~FakeEnvironment() {
  for (FakeValue& value : values_) {
    if (value.finalize != nullptr) value.finalize(handle(), value.external, value.finalizeHint);
  }
}

FakeValue& FakeEnvironment::make(napi_valuetype type) {
  FakeValue& value = values_.emplace_back();
  value.type = type;
  return value;
}

napi_value FakeEnvironment::undefined() { return handleOf(make(napi_undefined)); }

napi_value FakeEnvironment::number(double number) {
  FakeValue& value = make(napi_number);
  value.number = number;
  return handleOf(value);
}

napi_value FakeEnvironment::boolean(bool flag) {
  FakeValue& value = make(napi_boolean);
  value.flag = flag;
  return handleOf(value);
}

napi_value FakeEnvironment::text(const std::string& text) {
  FakeValue& value = make(napi_string);
  value.text = text;
  return handleOf(value);
}

napi_value FakeEnvironment::typedArray(napi_typedarray_type elements, size_t length, const uint8_t* bytes, size_t count) {
  const size_t size = elements == napi_float64_array ? 8 : elements == napi_uint8_array ? 1 : 4;
  FakeValue& value = make(napi_object);
  value.isTypedArray = true;
  value.elements = elements;
  value.length = length;
  value.memory = std::make_unique<uint8_t[]>(length * size);
  if (count > 0) std::memcpy(value.memory.get(), bytes, std::min(count, length * size));
  return handleOf(value);
}

napi_value FakeEnvironment::array(std::vector<napi_value> items) {
  FakeValue& value = make(napi_object);
  value.isArray = true;
  value.items = std::move(items);
  return handleOf(value);
}

}  // namespace keelson::check

using keelson::check::FakeCall;
using keelson::check::FakeEnvironment;
using keelson::check::FakeValue;
using keelson::check::handleOf;
using keelson::check::of;

namespace {

FakeEnvironment& environmentOf(napi_env env) { return *reinterpret_cast<FakeEnvironment*>(env); }

napi_status makeError(napi_env env, napi_value message, napi_value* result) {
  FakeValue& error = environmentOf(env).make(napi_object);
  error.text = of(message).text;
  *result = handleOf(error);
  return napi_ok;
}

napi_status makeObject(napi_env env, napi_value* result) {
  *result = handleOf(environmentOf(env).make(napi_object));
  return napi_ok;
}

}  // namespace

// What is called, answers as Node does. What is only linked, ends the program: a harness that calls more has to give it here first.
extern "C" {

napi_status napi_get_cb_info(napi_env, napi_callback_info info, size_t* count, napi_value* arguments, napi_value* self, void** data) {
  const auto& given = *reinterpret_cast<FakeCall*>(info);
  if (arguments != nullptr) {
    for (size_t i = 0; i < *count && i < given.arguments.size(); i++) arguments[i] = given.arguments[i];
  }
  if (count != nullptr) *count = given.arguments.size();
  if (self != nullptr) *self = nullptr;
  if (data != nullptr) *data = given.data;
  return napi_ok;
}

napi_status napi_create_function(napi_env env, const char*, size_t, napi_callback callback, void* data, napi_value* result) {
  FakeValue& value = environmentOf(env).make(napi_function);
  value.callback = callback;
  value.callbackData = data;
  *result = handleOf(value);
  return napi_ok;
}

napi_status napi_add_finalizer(napi_env, napi_value value, void* data, napi_finalize finalize, void* hint, napi_ref*) {
  of(value).external = data;
  of(value).finalize = finalize;
  of(value).finalizeHint = hint;
  return napi_ok;
}

napi_status napi_throw_range_error(napi_env, const char*, const char*) { return napi_ok; }

napi_status napi_typeof(napi_env, napi_value value, napi_valuetype* result) { return *result = of(value).type, napi_ok; }
napi_status napi_is_typedarray(napi_env, napi_value value, bool* result) { return *result = of(value).isTypedArray, napi_ok; }
napi_status napi_is_array(napi_env, napi_value value, bool* result) { return *result = of(value).isArray, napi_ok; }

napi_status napi_get_typedarray_info(napi_env, napi_value value, napi_typedarray_type* type, size_t* length, void** data, napi_value*, size_t*) {
  if (!of(value).isTypedArray) return napi_invalid_arg;
  *type = of(value).elements;
  *length = of(value).length;
  *data = of(value).memory.get();
  return napi_ok;
}

napi_status napi_get_array_length(napi_env, napi_value value, uint32_t* result) {
  if (!of(value).isArray) return napi_array_expected;
  *result = static_cast<uint32_t>(of(value).items.size());
  return napi_ok;
}

napi_status napi_get_element(napi_env env, napi_value value, uint32_t index, napi_value* result) {
  if (!of(value).isArray) return napi_object_expected;
  *result = index < of(value).items.size() ? of(value).items[index] : environmentOf(env).undefined();
  return napi_ok;
}

napi_status napi_get_value_double(napi_env, napi_value value, double* result) {
  if (of(value).type != napi_number) return napi_number_expected;
  *result = of(value).number;
  return napi_ok;
}

napi_status napi_get_value_bool(napi_env, napi_value value, bool* result) {
  if (of(value).type != napi_boolean) return napi_boolean_expected;
  *result = of(value).flag;
  return napi_ok;
}

napi_status napi_get_value_string_utf8(napi_env, napi_value value, char* buffer, size_t size, size_t* result) {
  if (of(value).type != napi_string) return napi_string_expected;
  const std::string& text = of(value).text;
  if (buffer == nullptr) return *result = text.size(), napi_ok;
  const size_t copied = text.copy(buffer, size - 1);
  buffer[copied] = 0;
  if (result != nullptr) *result = copied;
  return napi_ok;
}

napi_status napi_get_value_external(napi_env, napi_value value, void** result) {
  if (of(value).type != napi_external) return napi_invalid_arg;
  *result = of(value).external;
  return napi_ok;
}

napi_status napi_create_external(napi_env env, void* data, napi_finalize finalize, void* hint, napi_value* result) {
  FakeValue& value = environmentOf(env).make(napi_external);
  value.external = data;
  value.finalize = finalize;
  value.finalizeHint = hint;
  *result = handleOf(value);
  return napi_ok;
}

napi_status napi_create_double(napi_env env, double value, napi_value* result) { return *result = environmentOf(env).number(value), napi_ok; }
napi_status napi_get_boolean(napi_env env, bool value, napi_value* result) { return *result = environmentOf(env).boolean(value), napi_ok; }
napi_status napi_get_undefined(napi_env env, napi_value* result) { return *result = environmentOf(env).undefined(), napi_ok; }

napi_status napi_create_string_utf8(napi_env env, const char* text, size_t length, napi_value* result) {
  *result = environmentOf(env).text(length == NAPI_AUTO_LENGTH ? std::string(text) : std::string(text, length));
  return napi_ok;
}

napi_status napi_create_error(napi_env env, napi_value, napi_value message, napi_value* result) { return makeError(env, message, result); }
napi_status napi_create_type_error(napi_env env, napi_value, napi_value message, napi_value* result) { return makeError(env, message, result); }
napi_status napi_create_range_error(napi_env env, napi_value, napi_value message, napi_value* result) { return makeError(env, message, result); }
napi_status napi_create_object(napi_env env, napi_value* result) { return makeObject(env, result); }

// Values live as long as the environment: a reference needs no count.
napi_status napi_create_reference(napi_env, napi_value value, uint32_t, napi_ref* result) { return *result = reinterpret_cast<napi_ref>(value), napi_ok; }
napi_status napi_delete_reference(napi_env, napi_ref) { return napi_ok; }
napi_status napi_get_reference_value(napi_env, napi_ref reference, napi_value* result) { return *result = reinterpret_cast<napi_value>(reference), napi_ok; }
napi_status napi_open_handle_scope(napi_env, napi_handle_scope* result) { return *result = nullptr, napi_ok; }
napi_status napi_close_handle_scope(napi_env, napi_handle_scope) { return napi_ok; }
napi_status napi_open_escapable_handle_scope(napi_env, napi_escapable_handle_scope* result) { return *result = nullptr, napi_ok; }
napi_status napi_close_escapable_handle_scope(napi_env, napi_escapable_handle_scope) { return napi_ok; }
napi_status napi_escape_handle(napi_env, napi_escapable_handle_scope, napi_value value, napi_value* result) { return *result = value, napi_ok; }
napi_status napi_is_exception_pending(napi_env, bool* result) { return *result = false, napi_ok; }

napi_status napi_set_named_property(napi_env, napi_value object, const char*, napi_value) { return of(object).type == napi_object ? napi_ok : napi_object_expected; }

napi_status napi_get_last_error_info(napi_env, const napi_extended_error_info** result) {
  static const napi_extended_error_info info = {"refused by the fake Node-API", nullptr, 0, napi_generic_failure};
  *result = &info;
  return napi_ok;
}

napi_status napi_async_destroy(napi_env, napi_async_context) { std::abort(); }
napi_status napi_call_function(napi_env, napi_value, napi_value, size_t, const napi_value*, napi_value*) { std::abort(); }
napi_status napi_close_callback_scope(napi_env, napi_callback_scope) { std::abort(); }
napi_status napi_define_properties(napi_env, napi_value, size_t, const napi_property_descriptor*) { std::abort(); }
void napi_fatal_error(const char*, size_t, const char*, size_t) { std::abort(); }
napi_status napi_get_and_clear_last_exception(napi_env, napi_value*) { std::abort(); }
napi_status napi_get_named_property(napi_env, napi_value, const char*, napi_value*) { std::abort(); }
napi_status napi_get_property(napi_env, napi_value, napi_value, napi_value*) { std::abort(); }
napi_status napi_has_property(napi_env, napi_value, napi_value, bool*) { std::abort(); }
napi_status napi_throw(napi_env, napi_value) { std::abort(); }
}
