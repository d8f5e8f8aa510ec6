// Where a thread runs: a worker that is woken often lands on the processor of the thread that woke it, beside the other workers, while another
// processor idles for longer than the task takes (docs/decisions/0071).
#include "place_thread.h"

#include <sched.h>

#include <vector>

#include "views.h"

namespace keelson {

Napi::Value placeThread(const Napi::CallbackInfo& info) {
  const uint64_t slot = countArgument(info[0], UINT32_MAX, "slot");
  cpu_set_t allowed;
  // More processors than the set has room for: then nothing is moved.
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return Napi::Number::New(info.Env(), -1);
  std::vector<int> processors;
  for (int processor = 0; processor < CPU_SETSIZE; processor++) {
    if (CPU_ISSET(processor, &allowed)) processors.push_back(processor);
  }
  if (processors.empty()) return Napi::Number::New(info.Env(), -1);
  const int wanted = processors[slot % processors.size()];
  if (sched_getcpu() != wanted) {
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(wanted, &only);
    // Moved by the first call; the second leaves it free to be moved on, by whom knows what else runs there.
    if (sched_setaffinity(0, sizeof only, &only) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
  }
  return Napi::Number::New(info.Env(), sched_getcpu());
}

}  // namespace keelson
