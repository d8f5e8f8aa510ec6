#pragma once
#include <string>

namespace keelson {
// Known-answer tests of every kernel and checksum that this processor can run. "" or what failed.
std::string selfTest();
}  // namespace keelson
