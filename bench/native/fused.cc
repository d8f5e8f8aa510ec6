// Whether checksums are cheaper in one pass with what makes the bytes (docs/decisions/0082): GB/s of data, medians of alternating rounds.
//   copy: a payload is copied and its 4 KiB blocks are checksummed;   encode: parities are computed and their blocks are checksummed.
// Built and run by `npm run bench:fused`.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "crc32c/crc32c.h"
#include "gf256/dispatch.h"

namespace {

using keelson::crc32c::blockChecksum;
using keelson::crc32c::chosenImplementation;
using keelson::crc32c::kBlockBytes;

constexpr size_t kRounds = 41;
constexpr double kRoundBytes = 64e6;
constexpr size_t kColdBytes = size_t{256} << 20;

uint32_t sink = 0;

void checksumBlocks(const uint8_t* at, size_t bytes) {
  for (size_t i = 0; i < bytes; i += kBlockBytes) sink ^= blockChecksum(*chosenImplementation(), i, at + i);
}

// What copyCrcRun does.
void copyFused(uint8_t* to, const uint8_t* from, size_t bytes, bool stream) {
  for (size_t i = 0; i < bytes; i += kBlockBytes) sink ^= chosenImplementation()->copyBlock(~0u, from + i, to + i, stream);
}

struct Way {
  const char* name;
  std::function<void(size_t round)> run;  // handles `bytes` of data
  std::vector<double> rates{};
};

void compare(const char* title, double bytes, std::vector<Way> ways) {
  const size_t repeats = std::max<size_t>(1, static_cast<size_t>(kRoundBytes / bytes));
  size_t turn = 0;
  for (size_t round = 0; round < kRounds; round++) {
    for (Way& way : ways) {
      const auto start = std::chrono::steady_clock::now();
      for (size_t i = 0; i < repeats; i++) way.run(turn++);
      const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
      way.rates.push_back(bytes * static_cast<double>(repeats) / took.count());
    }
  }
  std::printf("%-26s", title);
  double first = 0;
  for (Way& way : ways) {
    std::sort(way.rates.begin(), way.rates.end());
    const double median = way.rates[way.rates.size() / 2];
    if (first == 0) first = median;
    std::printf("  %s %5.1f (%.2f)", way.name, median, median / first);
  }
  std::printf("\n");
}

}  // namespace

int main() {
  uint8_t* const memory = static_cast<uint8_t*>(std::aligned_alloc(4096, 2 * kColdBytes));
  uint8_t* const second = memory + kColdBytes;
  for (size_t i = 0; i < 2 * kColdBytes; i++) memory[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  for (const size_t bytes : {size_t{4096}, size_t{65536}, size_t{1} << 20}) {
    // A payload comes hot from a socket and goes to memory that was used long ago.
    for (const char* where : {"hot to hot", "hot to cold", "cold to cold"}) {
      const size_t fromPlaces = std::strncmp(where, "cold", 4) == 0 ? kColdBytes / bytes : 1;
      const size_t toPlaces = std::strcmp(where, "hot to hot") == 0 ? 1 : kColdBytes / bytes;
      char title[64];
      std::snprintf(title, sizeof title, "copy %4zu KiB %s", bytes >> 10, where);
      const auto from = [=](size_t turn) { return memory + turn % fromPlaces * bytes; };
      const auto to = [=](size_t turn) { return second + turn % toPlaces * bytes; };
      compare(title, static_cast<double>(bytes),
              {{"two passes", [&](size_t turn) {
                  std::memcpy(to(turn), from(turn), bytes);
                  checksumBlocks(to(turn), bytes);
                }},
               {"block by block", [&](size_t turn) {
                  for (size_t i = 0; i < bytes; i += kBlockBytes) {
                    std::memcpy(to(turn) + i, from(turn) + i, kBlockBytes);
                    checksumBlocks(to(turn) + i, kBlockBytes);
                  }
                }},
               {"one loop", [&](size_t turn) { copyFused(to(turn), from(turn), bytes, false); }},
               {"one loop, streamed", [&](size_t turn) { copyFused(to(turn), from(turn), bytes, true); }},
               {"copy alone", [&](size_t turn) { std::memcpy(to(turn), from(turn), bytes); }}});
    }
  }

  const size_t shapes[][2] = {{4, 1}, {4, 2}, {8, 2}, {8, 3}, {10, 4}, {17, 3}};
  for (const auto& [k, m] : shapes) {
    // Any coefficients but ones cost the same; row 0 is ones.
    std::vector<uint8_t> matrix(k * m);
    for (size_t i = 0; i < matrix.size(); i++) matrix[i] = static_cast<uint8_t>(i < k || i % k == 0 ? 1 : 3 + i);
    const keelson::gf256::Plan plan(keelson::gf256::chosenKernel(), matrix.data(), m, k);
    const size_t shard = 65536;
    for (const bool cold : {false, true}) {
      const size_t stripe = (k + m) * shard;
      const size_t places = cold ? kColdBytes / stripe : 1;
      // Encodes the pieces [from, from + length) of all shards of a stripe.
      const auto encode = [&, places, stripe](size_t turn, size_t from, size_t length) {
        const uint8_t* in[32];
        uint8_t* out[8];
        uint8_t* const at = memory + turn % places * stripe + from;
        for (size_t c = 0; c < k; c++) in[c] = at + c * shard;
        for (size_t r = 0; r < m; r++) out[r] = at + (k + r) * shard;
        keelson::gf256::apply(plan, in, out, length, {false, false});
      };
      const auto checksum = [&, places, stripe](size_t turn, size_t from, size_t length) {
        for (size_t r = 0; r < m; r++) checksumBlocks(memory + turn % places * stripe + (k + r) * shard + from, length);
      };
      const auto pieces = [&](size_t piece) {
        return [&, piece](size_t turn) {
          for (size_t from = 0; from < shard; from += piece) {
            encode(turn, from, piece);
            checksum(turn, from, piece);
          }
        };
      };
      char title[64];
      std::snprintf(title, sizeof title, "encode %zu+%zu 64 KiB %s", k, m, cold ? "cold" : "hot");
      compare(title, static_cast<double>(k * shard),
              {{"two passes", pieces(shard)}, {"row by row", pieces(kBlockBytes)}, {"in 16 KiB", pieces(4 * kBlockBytes)}, {"encode alone", [&](size_t turn) { encode(turn, 0, shard); }}});
    }
  }
  return sink == 0x12345678 ? 1 : 0;
}
