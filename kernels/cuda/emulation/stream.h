// A stream of the emulated device: does what it is given in its turn, or while it is captured keeps it for a graph.
//
//   Capture capture;
//   stream.Join(&capture);              // what comes now is kept, each after the one before
//   stream.Do([&] { ++done; }, {});     // node 0; done is 0
//   stream.Do(..., {});                 // node 1, after node 0
//   OrderOf(capture.nodes, seed)        // {0, 1}; had node 1 forgotten what it comes after, {1, 0} of some seeds
//
// A node is done when those that it comes after are: in which order else, a device may choose, and so does a seed here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mrs::emulation {

using Work = std::function<void()>;
// What it was launched with, in words: where memory is among them that is gone, or not the device's.
using Words = std::vector<uint64_t>;

struct Node {
  Work work;
  Words words;
  std::vector<uint32_t> after;  // nodes before it
};
struct Capture {
  std::vector<Node> nodes;
  std::string spoilt;  // why there will be no graph; empty: it goes well
};

// All of them, each after those that it comes after. Seed 0: of those that can go, the one captured last.
std::vector<uint32_t> OrderOf(const std::vector<Node>& nodes, uint64_t seed);

class Stream {
 public:
  Stream();
  virtual ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool is_capturing() const { return capture_ != nullptr; }
  // Is captured from now on.
  void Join(Capture* capture) {
    capture_ = capture;
    last_.clear();
  }
  void Leave() { capture_ = nullptr; }
  Capture* capture() const { return capture_; }

  // 0, or the cudaError_t with which a device refuses it.
  int Do(Work work, Words words);
  // Of a stream that is captured: a node, without being asked for.
  void Keep(Work work, Words words);
  // Of one that is not: is done in its turn, which here is at once, without being asked for.
  virtual void Put(Work work) { work(); }

 protected:
  // Whether this device takes it, now: 0, or the cudaError_t.
  virtual int Admit(const Words&) { return 0; }

 private:
  Capture* capture_ = nullptr;
  std::vector<uint32_t> last_;  // nodes that the next one comes after
};

// Of a launch on `stream`, which may be none that is there (cudaErrorInvalidResourceHandle). Null does it at once.
int DoOn(void* stream, Work work, Words words);

// The words of arguments that are passed by value; none where padding, which has what was there before, cannot be told
// from them (clang 14).
template <typename... Arguments>
Words WordsOf([[maybe_unused]] Arguments... arguments) {
  Words words;
#if __has_builtin(__builtin_clear_padding)
  const auto add = [&](auto& argument) {
    __builtin_clear_padding(&argument);
    const auto* const bytes = reinterpret_cast<const unsigned char*>(&argument);
    for (size_t at = 0; at + sizeof(uint64_t) <= sizeof(argument); at += sizeof(uint64_t)) {
      uint64_t word = 0;
      __builtin_memcpy(&word, bytes + at, sizeof(word));
      words.push_back(word);
    }
  };
  (add(arguments), ...);
#endif
  return words;
}

}  // namespace mrs::emulation
