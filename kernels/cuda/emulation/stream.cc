#include "kernels/cuda/emulation/stream.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

namespace mrs::emulation {
namespace {

constexpr int kInvalidResourceHandle = 400;  // cudaErrorInvalidResourceHandle

struct Streams {
  std::mutex mutex;
  std::set<const void*> there;
};
Streams& All() {
  static Streams* const streams = new Streams;
  return *streams;
}

// splitmix64
uint64_t Next(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

Stream::Stream() {
  const std::lock_guard lock(All().mutex);
  All().there.insert(this);
}

Stream::~Stream() {
  const std::lock_guard lock(All().mutex);
  All().there.erase(this);
}

int Stream::Do(Work work, Words words) {
  if (const int error = Admit(words); error != 0) {
    if (capture_ != nullptr && capture_->spoilt.empty()) capture_->spoilt = "a launch was refused";
    return error;
  }
  capture_ == nullptr ? Put(std::move(work)) : Keep(std::move(work), std::move(words));
  return 0;
}

void Stream::Keep(Work work, Words words) {
  const auto number = static_cast<uint32_t>(capture_->nodes.size());
  capture_->nodes.push_back({std::move(work), std::move(words), std::exchange(last_, {number})});
}

int DoOn(void* stream, Work work, Words words) {
  if (stream == nullptr) {
    work();
    return 0;
  }
  {
    const std::lock_guard lock(All().mutex);
    if (All().there.count(stream) == 0) return kInvalidResourceHandle;
  }
  return static_cast<Stream*>(stream)->Do(std::move(work), std::move(words));
}

std::vector<uint32_t> OrderOf(const std::vector<Node>& nodes, uint64_t seed) {
  std::vector<uint32_t> left(nodes.size());  // nodes that each still waits for
  std::vector<std::vector<uint32_t>> then(nodes.size());
  std::vector<uint32_t> ready, order;
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    left[i] = static_cast<uint32_t>(nodes[i].after.size());
    for (const uint32_t before : nodes[i].after) then[before].push_back(i);
    if (left[i] == 0) ready.push_back(i);
  }
  // A rank of its own each: so one may be held back for as long as its dependencies let it.
  std::vector<uint64_t> ranks(nodes.size());
  uint64_t state = seed;
  for (uint32_t i = 0; i < nodes.size(); ++i) ranks[i] = seed == 0 ? i : Next(&state);
  while (!ready.empty()) {
    const auto at =
        std::max_element(ready.begin(), ready.end(), [&](uint32_t a, uint32_t b) { return ranks[a] < ranks[b]; });
    const uint32_t node = *at;
    ready.erase(at);
    order.push_back(node);
    for (const uint32_t next : then[node]) {
      if (--left[next] == 0) ready.push_back(next);
    }
  }
  return order;
}

}  // namespace mrs::emulation
