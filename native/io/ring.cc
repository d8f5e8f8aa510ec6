// The ring as JavaScript sees it (src/native/addon-api.ts): asynchronous through the event loop of its thread, or blocking.
#include "io/ring.h"

#include <uv.h>

#include <memory>

#include "io/ring_core.h"
#include "views.h"

namespace keelson::io {
namespace {

constexpr size_t kWords = 6;
constexpr uint64_t kTransferBytesMax = INT32_MAX;  // a result is an Int32
constexpr unsigned kEntriesMax = 4096;

bool isInt32(double value) { return value >= INT32_MIN && value <= INT32_MAX && static_cast<double>(static_cast<int32_t>(value)) == value; }

class Ring;

// Outlives the JavaScript object until libuv has let go of the poll handle. An eventfd is polled, not the ring's own descriptor: with deferred
// task work, Linux 6.18 now and then loses the wake-up of a poll that has just begun (seen in one of 40 processes that read one block).
struct Listener {
  uv_poll_t poll{};
  RingCore core;
  Ring* owner = nullptr;
  napi_env env = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
  bool polling = false;
  bool referenced = false;
};

class Ring : public Napi::ObjectWrap<Ring> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Ring",
                       {InstanceMethod("submit", &Ring::submit), InstanceMethod("listen", &Ring::listen), InstanceMethod("run", &Ring::run),
                        InstanceMethod("close", &Ring::close)});
  }

  explicit Ring(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Ring>(info) {
    const View<uint8_t> memory = bytesArgument(info[0], "memory");
    const uint64_t entries = countArgument(info[1], kEntriesMax, "entries");
    if (entries == 0) throw Napi::RangeError::New(info.Env(), "entries must be from 1 to " + std::to_string(kEntriesMax));
    auto listener = std::make_unique<Listener>();
    if (const int failure = listener->core.open(static_cast<unsigned>(entries), memory.data, memory.length); failure != 0) {
      throw systemError(info.Env(), failure, "io_uring_setup");
    }
    memory_ = memory;
    keepMemory_ = Napi::Persistent(info[0].As<Napi::Object>());
    listener->owner = this;
    listener->env = info.Env();
    listener_ = listener.release();
  }

  ~Ring() override { release(); }

 private:
  Listener& opened(Napi::Env env) {
    if (listener_ == nullptr) throw systemError(env, EBADF, "the ring is closed");
    return *listener_;
  }

  // Checks every descriptor before any is queued.
  void check(Napi::Env env, const View<double>& ops, uint64_t first, uint64_t count, bool withTags) const {
    // A memory that was detached or shrunk since has given its pages to somebody else.
    const View<uint8_t> now = bytesArgument(keepMemory_.Value(), "memory");
    if (now.data != memory_.data || now.length != memory_.length) throw Napi::TypeError::New(env, "the memory of the ring was detached or resized");
    const uint64_t held = ops.length / kWords;
    if (count > held || first > held - count) {
      throw Napi::RangeError::New(env, "ops holds " + std::to_string(held) + " operations, asked for " + std::to_string(count) + " from " + std::to_string(first));
    }
    for (uint64_t i = first; i < first + count; i++) {
      const double* op = ops.data + i * kWords;
      if (op[0] != 1 && op[0] != 2 && op[0] != 3) throw Napi::RangeError::New(env, "opcode must be RING_READ, RING_WRITE or RING_SYNC");
      // A negative descriptor is left to the kernel, which answers EBADF for that operation alone.
      if (!isInt32(op[1])) throw Napi::RangeError::New(env, "fd must be a 32-bit integer");
      if (withTags && !isInt32(op[5])) throw Napi::RangeError::New(env, "tag must be a 32-bit integer");
      if (op[0] == 3) continue;
      if (!isCount(op[3])) throw Napi::RangeError::New(env, "deviceOffset must be an integer from 0 to 2^53 - 1");
      if (!isCount(op[4]) || op[4] > static_cast<double>(kTransferBytesMax)) throw Napi::RangeError::New(env, "length must be an integer below 2^31");
      requireInside(env, op[2], static_cast<uint64_t>(op[4]), memory_.length, "memoryOffset");
    }
  }

  void queue(const double* op, int32_t tag) {
    if (op[0] == 3) {
      listener_->core.queue({Opcode::sync, static_cast<int>(op[1]), nullptr, 0, 0, tag});
      return;
    }
    listener_->core.queue({op[0] == 1 ? Opcode::read : Opcode::write, static_cast<int>(op[1]), memory_.data + static_cast<size_t>(op[2]),
                           static_cast<uint64_t>(op[3]), static_cast<uint32_t>(op[4]), tag});
  }

  void submit(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Listener& listener = opened(env);
    if (!listener.polling) throw Napi::Error::New(env, "listen() must come before submit()");
    const View<double> ops = doublesArgument(info[0], "ops");
    const uint64_t first = countArgument(info[1], kSafeInteger, "first");
    const uint64_t count = countArgument(info[2], kSafeInteger, "count");
    check(env, ops, first, count, true);
    for (uint64_t i = first; i < first + count; i++) queue(ops.data + i * kWords, static_cast<int32_t>(ops.data[i * kWords + 5]));
    if (const int failure = listener.core.submit(0); failure != 0) throw systemError(env, failure, "io_uring_enter");
    updateReference();
  }

  void listen(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Listener& listener = opened(env);
    if (listener.polling) throw Napi::Error::New(env, "the ring is already listening");
    const View<int32_t> completions = integersArgument(info[0], "completions");
    if (completions.length < 2) throw Napi::RangeError::New(env, "completions must have room for one pair");
    if (!info[1].IsFunction()) throw Napi::TypeError::New(env, "callback must be a function");
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) throw Napi::Error::New(env, "this thread has no event loop");
    const int event = listener.core.watch();
    if (event < 0) throw systemError(env, -event, "eventfd");
    if (const int failure = uv_poll_init(loop, &listener.poll, event); failure != 0) throw systemError(env, -failure, "uv_poll_init");
    listener.poll.data = &listener;
    if (const int failure = uv_poll_start(&listener.poll, UV_READABLE, onReadable); failure != 0) {
      // Never fails for a handle just made; if it does, the handle must still be closed by the loop.
      listener.polling = true;
      release();
      throw systemError(env, -failure, "uv_poll_start");
    }
    uv_unref(reinterpret_cast<uv_handle_t*>(&listener.poll));
    listener.polling = true;
    napi_add_async_cleanup_hook(env, onCleanup, &listener, &listener.hook);
    completions_ = Napi::Persistent(info[0].As<Napi::Object>());
    callback_ = Napi::Persistent(info[1].As<Napi::Function>());
    async_ = std::make_unique<Napi::AsyncContext>(env, "KEELSON_RING");
    batch_.resize(completions.length / 2);
  }

  void run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Listener& listener = opened(env);
    if (listener.polling) throw Napi::Error::New(env, "run() is for a ring that does not listen");
    const View<double> ops = doublesArgument(info[0], "ops");
    const uint64_t count = countArgument(info[1], INT32_MAX, "count");
    const View<int32_t> results = integersArgument(info[2], "results");
    if (count > results.length) throw Napi::RangeError::New(env, "results must hold " + std::to_string(count) + " elements, found " + std::to_string(results.length));
    check(env, ops, 0, count, false);
    for (uint64_t i = 0; i < count; i++) queue(ops.data + i * kWords, static_cast<int32_t>(i));
    Completion completions[64];
    while (listener.core.unfinished() > 0) {
      // While more wait than fit, half the queue is kept busy; the last ones are waited for together.
      const size_t inFlight = listener.core.inFlight();
      const bool more = listener.core.unfinished() > inFlight;
      const unsigned wait = static_cast<unsigned>(more ? inFlight / 2 + 1 : inFlight);
      if (const int failure = listener.core.submit(wait < 1 ? 1 : wait); failure != 0) {
        listener.core.quiesce();
        throw systemError(env, failure, "io_uring_enter");
      }
      size_t reaped;
      while ((reaped = listener.core.reap(completions, 64)) > 0) {
        for (size_t i = 0; i < reaped; i++) results.data[completions[i].tag] = completions[i].result;
      }
    }
  }

  void close(const Napi::CallbackInfo& info) {
    if (listener_ == nullptr) return;
    // What was accepted is finished and reported before the ring goes.
    while (listener_ != nullptr && listener_->polling && listener_->core.unfinished() > 0) {
      if (listener_->core.submit(1) != 0) break;
      deliver();
    }
    release();
  }

  // Keeps the loop, and this object, alive exactly while something is in flight.
  void updateReference() {
    const bool busy = listener_ != nullptr && listener_->core.unfinished() > 0;
    if (listener_ == nullptr || busy == listener_->referenced) return;
    listener_->referenced = busy;
    uv_handle_t* handle = reinterpret_cast<uv_handle_t*>(&listener_->poll);
    if (busy) {
      uv_ref(handle);
      Ref();
    } else {
      uv_unref(handle);
      Unref();
    }
  }

  static void onReadable(uv_poll_t* handle, int status, int) {
    Listener* listener = static_cast<Listener*>(handle->data);
    Ring* ring = listener->owner;
    if (ring == nullptr) return;
    Napi::HandleScope scope(listener->env);
    [[maybe_unused]] const Napi::Object alive = ring->Value();  // the callback may close the ring and drop the last reference
    listener->core.wake();
    ring->deliver();
  }

  // Reports the completions that are there now. Those that come while it runs signal the eventfd again: no other handle starves.
  void deliver() {
    napi_env env = Env();
    const size_t bound = listener_->core.inFlight();
    for (size_t reported = 0; reported < bound && listener_ != nullptr;) {
      Napi::HandleScope scope(env);
      const size_t count = listener_->core.reap(batch_.data(), batch_.size());
      if (count == 0) break;
      reported += count;
      // Operations that waited for room, and the rest of short transfers.
      if (listener_->core.unfinished() > 0) listener_->core.submit(0);
      updateReference();
      const View<int32_t> completions = integersArgument(completions_.Value(), "completions");
      if (completions.length / 2 < count) {
        napi_fatal_exception(env, Napi::TypeError::New(env, "the completions of the ring were detached or resized: results are lost").Value());
        continue;
      }
      for (size_t i = 0; i < count; i++) {
        completions.data[2 * i] = batch_[i].tag;
        completions.data[2 * i + 1] = batch_[i].result;
      }
      napi_value argument;
      napi_create_uint32(env, static_cast<uint32_t>(count), &argument);
      call(env, argument);
    }
    if (listener_ == nullptr) return;
    // Short transfers that were continued although nothing was reported.
    if (listener_->core.unfinished() > 0) listener_->core.submit(0);
    updateReference();
  }

  void call(napi_env env, napi_value argument) {
    napi_value result;
    const napi_status status = napi_make_callback(env, *async_, Value(), callback_.Value(), 1, &argument, &result);
    if (status != napi_pending_exception) return;
    napi_value error;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }

  // Waits for what is in flight and lets go of everything; the poll handle is freed by the loop.
  void release() {
    Listener* listener = listener_;
    if (listener == nullptr) return;
    listener_ = nullptr;
    listener->core.quiesce();
    // The callback refers to this object: kept, it would keep the ring and the whole slab for ever.
    keepMemory_.Reset();
    completions_.Reset();
    callback_.Reset();
    if (listener->referenced) {
      listener->referenced = false;
      Unref();
    }
    listener->owner = nullptr;
    if (!listener->polling) {
      delete listener;
      return;
    }
    uv_poll_stop(&listener->poll);
    listener->core.close();
    uv_close(reinterpret_cast<uv_handle_t*>(&listener->poll), onClosed);
  }

  static void onClosed(uv_handle_t* handle) {
    Listener* listener = static_cast<Listener*>(handle->data);
    if (listener->hook != nullptr) napi_remove_async_cleanup_hook(listener->hook);
    delete listener;
  }

  // The environment ends (process exit, worker.terminate()). Operations in flight are waited for, since the memory goes next; the loop then
  // runs until the handle is closed, and removing the hook in onClosed tells it that this is done.
  static void onCleanup(napi_async_cleanup_hook_handle, void* data) {
    Listener* listener = static_cast<Listener*>(data);
    Ring* ring = listener->owner;
    if (ring == nullptr) return;  // already closing: onClosed follows
    ring->release();
  }

  View<uint8_t> memory_{};
  Napi::ObjectReference keepMemory_;
  Napi::ObjectReference completions_;
  Napi::FunctionReference callback_;
  std::unique_ptr<Napi::AsyncContext> async_;
  std::vector<Completion> batch_;
  Listener* listener_ = nullptr;
};

Napi::Value ringAvailable(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), probeRing()); }

}  // namespace

void registerRing(Napi::Env env, Napi::Object exports) {
  exports.Set("Ring", Ring::define(env));
  exports.Set("ringAvailable", Napi::Function::New(env, ringAvailable, "ringAvailable"));
}

}  // namespace keelson::io
