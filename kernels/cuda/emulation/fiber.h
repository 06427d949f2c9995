// A stack of its own, to and from which an OS thread switches: what a CUDA thread runs on here.
//
//   Fiber host;                          // of this OS thread, where it is
//   Fiber lane(&Work);                   // Work never returns: it switches away for good
//   SwitchFiber(host, lane);             // runs Work until somebody switches to host
//
// x86-64 alone: eight instructions, 22 ns a switch, where swapcontext asks the kernel for the signal mask (267 ns).
#pragma once

#include <cstddef>

namespace mrs::emulation {

class Fiber {
 public:
  static constexpr size_t kStackBytes = size_t{128} << 10;  // below it a page that faults

  Fiber() = default;
  explicit Fiber(void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

 private:
  friend void SwitchFiber(Fiber& from, Fiber& to);
  friend void FirstOnFiber();
  void* top_ = nullptr;                    // of the saved registers
  void* pages_ = nullptr;                  // none: an OS thread's own stack
  [[maybe_unused]] void* fake_ = nullptr;  // address or thread sanitizer's
};

void SwitchFiber(Fiber& from, Fiber& to);
// What `entry` says first, so that the address sanitizer knows where it is.
void FirstOnFiber();

}  // namespace mrs::emulation
