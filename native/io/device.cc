// Opening and measuring devices and files (src/native/addon-api.ts).
#include "io/device.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "views.h"

namespace keelson::io {
namespace {

// Direct I/O on a file needs at least this alignment on every common file system; a page is always enough.
constexpr double kFileLogicalBytes = 512;
constexpr double kFilePhysicalBytes = 4096;

[[noreturn]] void failClosing(Napi::Env env, int fd, int number, const std::string& what) {
  ::close(fd);
  throw systemError(env, number, what);
}

}  // namespace

Napi::Value openDevice(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = textArgument(info[0], "path");
  const bool direct = flagArgument(info[1], "direct");
  const bool exclusive = flagArgument(info[2], "exclusive");
  const bool readOnly = flagArgument(info[3], "readOnly");
  const std::string what = "open '" + path + "'";
  if (path.find('\0') != std::string::npos) throw Napi::TypeError::New(env, "path must not hold a zero byte");

  struct stat status;
  if (::stat(path.c_str(), &status) != 0) throw systemError(env, errno, what);
  const bool block = S_ISBLK(status.st_mode);
  if (!block && !S_ISREG(status.st_mode)) throw systemError(env, S_ISDIR(status.st_mode) ? EISDIR : ENOTBLK, what);
  int flags = O_CLOEXEC | (readOnly ? O_RDONLY : O_RDWR);
  if (direct) flags |= O_DIRECT;
  // On a block device O_EXCL refuses one that is mounted or that another exclusive opener (md, dm, we) holds.
  if (exclusive && block) flags |= O_EXCL;
  int fd;
  do {
    fd = ::open(path.c_str(), flags);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) throw systemError(env, errno, what);
  if (exclusive && ::flock(fd, LOCK_EX | LOCK_NB) != 0) failClosing(env, fd, errno == EWOULDBLOCK ? EBUSY : errno, what);
  return Napi::Number::New(env, fd);
}

void closeDevice(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(countArgument(info[0], INT32_MAX, "fd"));
  // After EINTR Linux has closed the descriptor all the same: trying again could close another one.
  if (::close(fd) != 0 && errno != EINTR) throw systemError(info.Env(), errno, "close " + std::to_string(fd));
}

void dupOver(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(countArgument(info[0], INT32_MAX, "fd"));
  const int other = static_cast<int>(countArgument(info[1], INT32_MAX, "other"));
  if (fd == other) throw Napi::RangeError::New(info.Env(), "fd and other must differ");
  int result;
  do {
    result = ::dup3(other, fd, O_CLOEXEC);
  } while (result < 0 && (errno == EINTR || errno == EBUSY));
  if (result < 0) throw systemError(info.Env(), errno, "dup3 over " + std::to_string(fd));
}

Napi::Value duplicate(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(countArgument(info[0], INT32_MAX, "fd"));
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw systemError(info.Env(), errno, "duplicate " + std::to_string(fd));
  return Napi::Number::New(info.Env(), copy);
}

Napi::Value geometry(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = static_cast<int>(countArgument(info[0], INT32_MAX, "fd"));
  struct stat status;
  if (::fstat(fd, &status) != 0) throw systemError(env, errno, "fstat " + std::to_string(fd));
  double size = static_cast<double>(status.st_size);
  double logical = kFileLogicalBytes;
  double physical = kFilePhysicalBytes;
  const bool block = S_ISBLK(status.st_mode);
  if (block) {
    uint64_t bytes = 0;
    int logicalBytes = 0;
    unsigned physicalBytes = 0;
    if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0 || ::ioctl(fd, BLKSSZGET, &logicalBytes) != 0 || ::ioctl(fd, BLKPBSZGET, &physicalBytes) != 0) {
      throw systemError(env, errno, "geometry of " + std::to_string(fd));
    }
    size = static_cast<double>(bytes);
    logical = logicalBytes;
    physical = physicalBytes;
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("sizeBytes", size);
  result.Set("logicalBlockBytes", logical);
  result.Set("physicalBlockBytes", physical);
  result.Set("isBlockDevice", block);
  return result;
}

}  // namespace keelson::io
