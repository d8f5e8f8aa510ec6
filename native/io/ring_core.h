// io_uring without liburing, and without JavaScript: submission, completion, continuing of short transfers.
// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
#pragma once
#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace keelson::io {

enum class Opcode : uint8_t { read = 1, write = 2, sync = 3 };

struct Request {
  Opcode opcode;
  int fd;
  uint8_t* memory;
  uint64_t deviceOffset;
  uint32_t length;
  int32_t tag;
};

struct Completion {
  int32_t tag;
  int32_t result;  // full length, or -errno
};

// Used by one thread only: the kernel is told so.
class RingCore {
 public:
  RingCore() = default;
  ~RingCore();
  RingCore(const RingCore&) = delete;
  RingCore& operator=(const RingCore&) = delete;

  // 0 or an errno. memory is registered as fixed buffers when the kernel permits it (RLIMIT_MEMLOCK), and used plainly otherwise.
  int open(unsigned entries, uint8_t* memory, size_t length);
  bool isOpen() const { return fd_ >= 0; }
  // An eventfd that becomes readable when completions are there or wait to be run; -errno when it cannot be made.
  int watch();
  // After the eventfd became readable: takes its signal and has the kernel run the completions it has put off.
  void wake();
  size_t inFlight() const { return inFlight_; }
  size_t unfinished() const { return inFlight_ + waiting_.size(); }
  bool hasFixedBuffers() const { return !fixed_.empty(); }

  // Takes a request; what the submission queue has no room for waits here. submit() hands all that fits to the kernel.
  void queue(const Request& request);
  // Submits, and waits until at least `wait` completions are there. 0 or an errno that no retry cures.
  int submit(unsigned wait);
  // Completions that are there now, up to `capacity`; short transfers are queued again instead of being reported.
  size_t reap(Completion* into, size_t capacity);
  // Forgets what waits, waits for what is in flight: afterwards the kernel touches no memory of ours.
  void quiesce();
  void close();

 private:
  struct Slot {
    Request request;
    uint32_t done;
    uint32_t retries;
  };
  struct FixedBuffer {
    uint8_t* start;
    size_t length;
  };

  int map();
  bool hasDeferred() const;
  void registerMemory(uint8_t* memory, size_t length);
  void fill();
  void push(uint32_t slot);
  bool finish(uint32_t slot, int32_t result, Completion& completion);

  int fd_ = -1;
  int eventFd_ = -1;
  io_uring_params params_{};
  void* sqMap_ = nullptr;
  size_t sqMapBytes_ = 0;
  void* cqMap_ = nullptr;
  size_t cqMapBytes_ = 0;
  io_uring_sqe* sqes_ = nullptr;
  size_t sqesBytes_ = 0;
  uint32_t* sqHead_ = nullptr;
  uint32_t* sqTail_ = nullptr;
  uint32_t* sqFlags_ = nullptr;
  uint32_t sqMask_ = 0;
  uint32_t* cqHead_ = nullptr;
  uint32_t* cqTail_ = nullptr;
  uint32_t cqMask_ = 0;
  io_uring_cqe* cqes_ = nullptr;
  uint32_t localTail_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> freeSlots_;
  std::deque<Request> waiting_;
  std::vector<FixedBuffer> fixed_;
  size_t inFlight_ = 0;
};

// "" when a ring can be made here and does a read, else the reason.
std::string probeRing();

}  // namespace keelson::io
