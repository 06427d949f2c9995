#include "kernels/cuda/emulation/fiber.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MRS_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define MRS_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define MRS_ADDRESS_SANITIZER
#elif defined(__SANITIZE_THREAD__)
#define MRS_THREAD_SANITIZER
#endif
#ifdef MRS_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif
#ifdef MRS_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves what the caller keeps (rbx, rbp, r12 to r15) and the stack; takes up another's.
extern "C" void mrs_switch_stack(void** save, void* load);
__asm__(R"(
.text
.globl mrs_switch_stack
.type mrs_switch_stack,@function
mrs_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mrs_switch_stack,.-mrs_switch_stack
)");

namespace mrs::emulation {
namespace {

constexpr size_t kGuard = 4096;

}  // namespace

Fiber::Fiber(void (*entry)()) {
  const size_t bytes = kStackBytes + kGuard;
  pages_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages_ == MAP_FAILED || mprotect(pages_, kGuard, PROT_NONE) != 0) {
    std::fprintf(stderr, "emulation: no memory for the stack of a CUDA thread\n");
    std::abort();
  }
  // As mrs_switch_stack leaves a stack: six registers, and where to go on. One word more, as a call would leave it, so
  // that `entry` finds the stack aligned.
  void** word = reinterpret_cast<void**>(static_cast<std::byte*>(pages_) + bytes);
  *--word = nullptr;
  *--word = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--word = nullptr;
  top_ = word;
#ifdef MRS_THREAD_SANITIZER
  fake_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (pages_ == nullptr) return;
#ifdef MRS_THREAD_SANITIZER
  __tsan_destroy_fiber(fake_);
#endif
#ifdef MRS_ADDRESS_SANITIZER
  // `entry` never returns, so the marks of its frame are still there, and munmap leaves them to whoever comes next.
  __asan_unpoison_memory_region(pages_, kStackBytes + kGuard);
#endif
  munmap(pages_, kStackBytes + kGuard);
}

void SwitchFiber(Fiber& from, Fiber& to) {
#ifdef MRS_ADDRESS_SANITIZER
  const void* stack = to.pages_ == nullptr ? nullptr : static_cast<std::byte*>(to.pages_) + kGuard;
  __sanitizer_start_switch_fiber(&from.fake_, stack, stack == nullptr ? 0 : Fiber::kStackBytes);
#endif
#ifdef MRS_THREAD_SANITIZER
  // What is before a switch happens before what is after it: between CUDA threads watch.h looks, here only OS threads race.
  if (from.pages_ == nullptr) from.fake_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.fake_, 0);
#endif
  mrs_switch_stack(&from.top_, to.top_);
#ifdef MRS_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(from.fake_, nullptr, nullptr);
#endif
}

void FirstOnFiber() {
#ifdef MRS_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace mrs::emulation
