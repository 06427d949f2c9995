// Runs what may hang or crash (a driver) in a child process, for so long and no longer.
//
//   SharedRecord<Record> record;   // what the child writes is here, also when it did not come to its end
//   const ChildEnd end = RunInChild([&] { Ask(record.get()); }, std::chrono::seconds(60));
//   // {kHung}: it was killed at its deadline
#pragma once

#include <sys/mman.h>

#include <chrono>
#include <functional>
#include <string>
#include <type_traits>

namespace mrs::probe {

// One T, zeroed, in memory that a child shares with us. Null where there is no memory.
template <typename T>
class SharedRecord {
 public:
  static_assert(std::is_trivially_copyable_v<T>);
  SharedRecord() : memory_(mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  ~SharedRecord() {
    if (memory_ != MAP_FAILED) munmap(memory_, sizeof(T));
  }
  SharedRecord(const SharedRecord&) = delete;
  T* get() const { return memory_ == MAP_FAILED ? nullptr : static_cast<T*>(memory_); }

 private:
  void* memory_;
};

struct ChildEnd {
  enum class How { kDone, kHung, kCrashed, kNotStarted } how = How::kDone;
  std::string why;  // of a crash "signal 11 (Segmentation fault)", of no start what the kernel says
};

// The child has no standard streams, no other descriptor and no core file, and ends with us. To be called before the
// process has threads: the child is a fork of it. Ends the ignoring of SIGCHLD. One that not even SIGKILL ends (it
// sleeps in the kernel) is left.
ChildEnd RunInChild(const std::function<void()>& body, std::chrono::milliseconds limit);

}  // namespace mrs::probe
