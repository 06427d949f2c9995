#include "runtime/world/sealed_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mrs {

Result<Fd> SealBytes(const char* name, std::span<const std::byte> bytes) {
  const auto failed = [&](const char* what) {
    return Unavailable("{}: a copy of {} bytes for the rank processes cannot be {}: {}", name, bytes.size(), what,
                       std::strerror(errno));
  };
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return failed("made");
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = pwrite(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed("written");
    done += static_cast<size_t>(count);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed("sealed");
  }
  return fd;
}

}  // namespace mrs
