// The entry points that take descriptors and paths. Descriptors are the fuzzer's own, none at all, or numbers that are none: those of the process itself
// (its output, the corpus) are never handed over.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check/fuzz_arguments.h"
#include "io/device.h"
#include "place_thread.h"

namespace keelson::check {
namespace {

// Numbers from here on are the fuzzer's own.
constexpr int kOwnFirst = 700;
constexpr int kOwnCount = 4;
constexpr off_t kFileBytes = 65'536;

// Regular files, at kOwnFirst and after; one that a call has closed or replaced is made anew.
void restoreFiles() {
  const int file = memfd_create("keelson-fuzz", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, kFileBytes) != 0) std::abort();
  for (int i = 0; i < kOwnCount; i++) {
    if (dup3(file, kOwnFirst + i, O_CLOEXEC) < 0) std::abort();
  }
  close(file);
  for (int i = kOwnCount; i < 2 * kOwnCount; i++) close(kOwnFirst + i);
}

bool isOfTheProcess(napi_value value) {
  const double number = of(value).number;
  return of(value).type == napi_number && number > -1 && number < kOwnFirst;
}

napi_value descriptor(FakeEnvironment& environment, Arguments& arguments) {
  return arguments.orOther([&] {
    if (arguments.byte() < 200) return environment.number(kOwnFirst + static_cast<double>(arguments.below(2 * kOwnCount)));
    return environment.number(arguments.anyNumber(5000));
  });
}

napi_value path(FakeEnvironment& environment, Arguments& arguments) {
  return arguments.orOther([&] {
    switch (arguments.byte() % 8) {
      case 0: return environment.text("/dev/null");
      case 1: return environment.text("/");
      case 2: return environment.text("/nonexistent/keelson");
      case 3: return environment.text(std::string(arguments.below(5000), 'a'));
      case 4: return environment.text("");
      case 5: return environment.text(std::string("/dev/null\0x", 11));
      default: return environment.text("/proc/self/fd/" + std::to_string(kOwnFirst + arguments.below(2 * kOwnCount)));
    }
  });
}

// A descriptor that a call gave is closed here: it has the lowest free number, one of the process's own.
void closeGiven(napi_value value) {
  if (of(value).type == napi_number && of(value).number >= 3) close(static_cast<int>(of(value).number));
}

}  // namespace

void fuzzDevices(FakeEnvironment& environment, Arguments& arguments) {
  restoreFiles();
  const size_t calls = 1 + arguments.below(6);
  for (size_t i = 0; i < calls; i++) {
    const uint8_t which = arguments.byte() % 6;
    if (which == 0) {
      const napi_value name = path(environment, arguments);
      closeGiven(call(environment, io::openDevice, {name, arguments.flag(), arguments.flag(), arguments.flag()}));
      continue;
    }
    if (which == 1) {
      call(environment, placeThread, {arguments.number(8)});
      continue;
    }
    const napi_value fd = descriptor(environment, arguments);
    const napi_value other = descriptor(environment, arguments);
    if (isOfTheProcess(fd)) continue;
    if (which == 2) call(environment, io::closeDevice, {fd});
    if (which == 3) call(environment, io::geometry, {fd});
    if (which == 4) closeGiven(call(environment, io::duplicate, {fd}));
    if (which == 5) call(environment, io::dupOver, {fd, other});
  }
}

}  // namespace keelson::check
