#include "runtime/rank/cpu/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace mrs {

Result<Arena> Arena::Map(const char* what, uint64_t size_bytes, Use use) {
  if (size_bytes == 0) return Arena();
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (use != Use::kAll) flags |= MAP_NORESERVE;
  const int protection = use == Use::kZeros ? PROT_READ : PROT_READ | PROT_WRITE;
  void* address = mmap(nullptr, size_bytes, protection, flags, -1, 0);
  if (address == MAP_FAILED) {
    return Refuse(
        "cannot map {} bytes for the plan's {}: {}; free memory, or rebuild the plan for less (--memory, --max-len)",
        size_bytes, what, std::strerror(errno));
  }
  if (use != Use::kLazy) madvise(address, size_bytes, MADV_HUGEPAGE);  // a wish: without it only slower
  return Arena(static_cast<std::byte*>(address), size_bytes);
}

Arena::~Arena() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

}  // namespace mrs
