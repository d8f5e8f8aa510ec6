#include "io/ring_core.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace keelson::io {
namespace {

// Numbers of the kernel's interface that older headers lack.
constexpr uint32_t kSetupClamp = 1u << 4;
constexpr uint32_t kSetupCoopTaskrun = 1u << 8;
constexpr uint32_t kSetupTaskrunFlag = 1u << 9;
constexpr uint32_t kSetupSingleIssuer = 1u << 12;
constexpr uint32_t kSetupDeferTaskrun = 1u << 13;
constexpr uint8_t kOpFsync = 3;
constexpr uint8_t kOpReadFixed = 4;
constexpr uint8_t kOpWriteFixed = 5;
constexpr uint8_t kOpRead = 22;
constexpr uint8_t kOpWrite = 23;
constexpr uint32_t kFsyncDatasync = 1;
constexpr uint32_t kRegisterBuffers = 0;
constexpr uint32_t kRegisterEventfd = 4;
constexpr uint32_t kSqTaskrun = 1u << 2;

// The kernel refuses a fixed buffer larger than this.
constexpr size_t kFixedBufferBytesMax = size_t{1} << 30;
// A transfer that is told to try again (EAGAIN, EINTR) this often gets the error: a bound, far above what any device does.
constexpr uint32_t kRetriesMax = 1000;

int setup(unsigned entries, io_uring_params* params) { return static_cast<int>(::syscall(SYS_io_uring_setup, entries, params)); }

int enter(int fd, unsigned toSubmit, unsigned wait, unsigned flags) {
  return static_cast<int>(::syscall(SYS_io_uring_enter, fd, toSubmit, wait, flags, nullptr, 0));
}

template <typename T>
T* at(void* base, uint32_t offset) {
  return reinterpret_cast<T*>(static_cast<uint8_t*>(base) + offset);
}

}  // namespace

RingCore::~RingCore() { close(); }

int RingCore::open(unsigned entries, uint8_t* memory, size_t length) {
  // Best first. Deferred task work runs completions only when we ask, in batches; older kernels (before 6.1) refuse it.
  for (const uint32_t flags : {kSetupSingleIssuer | kSetupDeferTaskrun | kSetupTaskrunFlag, kSetupCoopTaskrun | kSetupTaskrunFlag, uint32_t{0}}) {
    params_ = {};
    params_.flags = flags | kSetupClamp;
    fd_ = setup(entries, &params_);
    if (fd_ >= 0 || errno != EINVAL) break;
  }
  if (fd_ < 0) return errno;
  if (const int failure = map(); failure != 0) {
    close();
    return failure;
  }
  slots_.resize(params_.sq_entries);
  for (uint32_t i = params_.sq_entries; i > 0; i--) freeSlots_.push_back(i - 1);
  registerMemory(memory, length);
  return 0;
}

int RingCore::map() {
  sqMapBytes_ = params_.sq_off.array + params_.sq_entries * sizeof(uint32_t);
  cqMapBytes_ = params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe);
  sqesBytes_ = params_.sq_entries * sizeof(io_uring_sqe);
  const int protection = PROT_READ | PROT_WRITE;
  const int kind = MAP_SHARED | MAP_POPULATE;
  void* sq = ::mmap(nullptr, sqMapBytes_, protection, kind, fd_, IORING_OFF_SQ_RING);
  if (sq == MAP_FAILED) return errno;
  sqMap_ = sq;
  void* cq = ::mmap(nullptr, cqMapBytes_, protection, kind, fd_, IORING_OFF_CQ_RING);
  if (cq == MAP_FAILED) return errno;
  cqMap_ = cq;
  void* sqes = ::mmap(nullptr, sqesBytes_, protection, kind, fd_, IORING_OFF_SQES);
  if (sqes == MAP_FAILED) return errno;
  sqes_ = static_cast<io_uring_sqe*>(sqes);
  sqHead_ = at<uint32_t>(sq, params_.sq_off.head);
  sqTail_ = at<uint32_t>(sq, params_.sq_off.tail);
  sqFlags_ = at<uint32_t>(sq, params_.sq_off.flags);
  sqMask_ = *at<uint32_t>(sq, params_.sq_off.ring_mask);
  uint32_t* array = at<uint32_t>(sq, params_.sq_off.array);
  for (uint32_t i = 0; i < params_.sq_entries; i++) array[i] = i;
  cqHead_ = at<uint32_t>(cq, params_.cq_off.head);
  cqTail_ = at<uint32_t>(cq, params_.cq_off.tail);
  cqMask_ = *at<uint32_t>(cq, params_.cq_off.ring_mask);
  cqes_ = at<io_uring_cqe>(cq, params_.cq_off.cqes);
  localTail_ = *sqTail_;
  return 0;
}

int RingCore::watch() {
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return -errno;
  if (::syscall(SYS_io_uring_register, fd_, kRegisterEventfd, &event, 1) != 0) {
    const int failure = errno;
    ::close(event);
    return -failure;
  }
  eventFd_ = event;
  return event;
}

bool RingCore::hasDeferred() const { return (__atomic_load_n(sqFlags_, __ATOMIC_ACQUIRE) & kSqTaskrun) != 0; }

void RingCore::wake() {
  // The signal is taken first: what comes after it signals again. The kernel runs a bounded number of completions at a time.
  uint64_t signals;
  while (::read(eventFd_, &signals, sizeof signals) < 0 && errno == EINTR) continue;
  while (hasDeferred()) {
    const uint32_t before = __atomic_load_n(cqTail_, __ATOMIC_ACQUIRE);
    const int result = enter(fd_, 0, 0, IORING_ENTER_GETEVENTS);
    if (result < 0 && errno != EINTR) return;
    // The flag may stay set with nothing behind it: the kernel raises it after adding the work, which this thread may have run by then. Work that comes later
    // signals again, so a call that brought nothing is the last.
    if (result >= 0 && __atomic_load_n(cqTail_, __ATOMIC_ACQUIRE) == before) return;
  }
}

void RingCore::registerMemory(uint8_t* memory, size_t length) {
  if (length == 0) return;
  // Registering pins, and so fills, all of the memory: as huge pages where the system gives them, with far fewer faults and pins.
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + length) / page * page;
  if (end > first) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  std::vector<iovec> pieces;
  for (size_t done = 0; done < length; done += kFixedBufferBytesMax) {
    pieces.push_back({memory + done, std::min(kFixedBufferBytesMax, length - done)});
  }
  if (::syscall(SYS_io_uring_register, fd_, kRegisterBuffers, pieces.data(), pieces.size()) != 0) return;
  for (const iovec& piece : pieces) fixed_.push_back({static_cast<uint8_t*>(piece.iov_base), piece.iov_len});
}

void RingCore::queue(const Request& request) { waiting_.push_back(request); }

void RingCore::fill() {
  while (!waiting_.empty() && !freeSlots_.empty()) {
    const uint32_t slot = freeSlots_.back();
    freeSlots_.pop_back();
    slots_[slot] = {waiting_.front(), 0, 0};
    waiting_.pop_front();
    inFlight_++;
    push(slot);
  }
}

// There is always room: each slot has at most one entry in the queue, and there are as many slots as entries.
void RingCore::push(uint32_t slot) {
  const Slot& operation = slots_[slot];
  const Request& request = operation.request;
  io_uring_sqe& entry = sqes_[localTail_ & sqMask_];
  std::memset(&entry, 0, sizeof entry);
  entry.fd = request.fd;
  entry.user_data = slot;
  if (request.opcode == Opcode::sync) {
    entry.opcode = kOpFsync;
    entry.fsync_flags = kFsyncDatasync;
  } else {
    uint8_t* memory = request.memory + operation.done;
    const uint32_t length = request.length - operation.done;
    const bool read = request.opcode == Opcode::read;
    entry.opcode = read ? kOpRead : kOpWrite;
    entry.addr = reinterpret_cast<uint64_t>(memory);
    entry.len = length;
    entry.off = request.deviceOffset + operation.done;
    for (size_t i = 0; i < fixed_.size(); i++) {
      if (memory < fixed_[i].start || memory + length > fixed_[i].start + fixed_[i].length) continue;
      entry.opcode = read ? kOpReadFixed : kOpWriteFixed;
      entry.buf_index = static_cast<uint16_t>(i);
    }
  }
  localTail_++;
  __atomic_store_n(sqTail_, localTail_, __ATOMIC_RELEASE);
}

int RingCore::submit(unsigned wait) {
  fill();
  for (;;) {
    const unsigned toSubmit = localTail_ - __atomic_load_n(sqHead_, __ATOMIC_ACQUIRE);
    const int submitted = enter(fd_, toSubmit, wait, IORING_ENTER_GETEVENTS);
    if (submitted < 0) {
      if (errno == EINTR) continue;
      // The kernel is short of memory for requests, or wants completions taken first. Those in flight will end; the caller reaps and comes again.
      if (errno == EAGAIN || errno == EBUSY) {
        if (inFlight_ > toSubmit) return 0;
        ::sched_yield();
        continue;
      }
      return errno;
    }
    if (static_cast<unsigned>(submitted) >= toSubmit) return 0;
  }
}

bool RingCore::finish(uint32_t slot, int32_t result, Completion& completion) {
  Slot& operation = slots_[slot];
  const Request& request = operation.request;
  if ((result == -EAGAIN || result == -EINTR) && operation.retries < kRetriesMax) {
    operation.retries++;
    push(slot);
    return false;
  }
  if (request.opcode != Opcode::sync && result >= 0) {
    operation.done += static_cast<uint32_t>(result);
    if (operation.done < request.length && result > 0) {
      push(slot);
      return false;
    }
    // Nothing more comes: the end of the file or device.
    result = operation.done < request.length ? -EIO : static_cast<int32_t>(request.length);
  } else if (result == -EINVAL && operation.done > 0) {
    // A direct transfer that ended at an unaligned end of file cannot be continued from there.
    result = -EIO;
  }
  completion = {request.tag, result};
  return true;
}

size_t RingCore::reap(Completion* into, size_t capacity) {
  size_t count = 0;
  uint32_t head = *cqHead_;
  const uint32_t tail = __atomic_load_n(cqTail_, __ATOMIC_ACQUIRE);
  while (head != tail && count < capacity) {
    const io_uring_cqe& entry = cqes_[head & cqMask_];
    const uint32_t slot = static_cast<uint32_t>(entry.user_data);
    const int32_t result = entry.res;
    head++;
    if (!finish(slot, result, into[count])) continue;
    count++;
    freeSlots_.push_back(slot);
    inFlight_--;
  }
  __atomic_store_n(cqHead_, head, __ATOMIC_RELEASE);
  return count;
}

void RingCore::quiesce() {
  if (!isOpen()) return;
  waiting_.clear();
  Completion ignored[16];
  while (inFlight_ > 0) {
    if (submit(1) != 0) break;
    while (reap(ignored, 16) > 0) continue;
  }
}

void RingCore::close() {
  if (fd_ < 0) return;
  if (sqes_ != nullptr) quiesce();
  if (sqes_ != nullptr) ::munmap(sqes_, sqesBytes_);
  if (cqMap_ != nullptr) ::munmap(cqMap_, cqMapBytes_);
  if (sqMap_ != nullptr) ::munmap(sqMap_, sqMapBytes_);
  sqes_ = nullptr;
  cqMap_ = sqMap_ = nullptr;
  ::close(fd_);
  fd_ = -1;
  if (eventFd_ >= 0) ::close(eventFd_);
  eventFd_ = -1;
}

std::string probeRing() {
  alignas(4096) static thread_local uint8_t page[8];
  RingCore ring;
  if (const int failure = ring.open(4, page, sizeof page); failure != 0) return std::string("io_uring_setup: ") + std::strerror(failure);
  const int file = static_cast<int>(::syscall(SYS_memfd_create, "keelson-probe", 1u /* MFD_CLOEXEC */));
  if (file < 0) return std::string("memfd_create: ") + std::strerror(errno);
  const uint8_t expected[8] = {'k', 'e', 'e', 'l', 's', 'o', 'n', '!'};
  Completion completions[2] = {};
  size_t count = 0;
  int failure = 0;
  if (::pwrite(file, expected, 8, 0) != 8) failure = errno;
  if (failure == 0) {
    ring.queue({Opcode::read, file, page, 0, 8, 1});
    ring.queue({Opcode::sync, file, nullptr, 0, 0, 2});
    while (count < 2 && failure == 0) {
      failure = ring.submit(1);
      count += ring.reap(completions + count, 2 - count);
    }
  }
  ring.close();
  ::close(file);
  if (failure != 0) return std::string("io_uring_enter: ") + std::strerror(failure);
  for (const Completion& completion : completions) {
    if (completion.result < 0) return std::string("io_uring operation: ") + std::strerror(-completion.result);
  }
  return std::memcmp(page, expected, 8) == 0 ? "" : "io_uring read returned wrong bytes";
}

}  // namespace keelson::io
