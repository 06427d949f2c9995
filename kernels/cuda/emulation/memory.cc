#include "kernels/cuda/emulation/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace mrs::emulation {
namespace {

constexpr uint64_t kPage = 4096;

struct Entry {
  Memory memory;
  uint64_t mapped_bytes;  // and a page that faults
  bool is_freed = false;
  int graph_count = 0;
  int fd = -1;         // of what several processes have
  uint64_t inode = 0;  // of that file
};
struct Registry {
  std::mutex mutex;
  std::map<uintptr_t, Entry> entries;  // by their first byte; those that were freed stay, and so does their address
};
std::atomic<uint64_t> generation = 0;

// Never destroyed: memory may be given back when the program ends.
Registry& Memories() {
  static Registry* const registry = [] {
    std::atexit([] {
      const std::string left = LeftOf(std::nullopt);
      if (left.empty()) return;
      std::fprintf(stderr, "emulated device: the program ends without giving back %s\n", left.c_str());
      _exit(1);
    });
    return new Registry;
  }();
  return *registry;
}

std::string Quoted(const Memory& memory) { return "'" + memory.what + "'"; }
std::string Text(const void* data) {
  char text[32];
  std::snprintf(text, sizeof(text), "%p", data);
  return text;
}
std::string DeviceText(int device) { return "cuda:" + std::to_string(device); }

// The entry whose bytes, or whose page that faults behind them, have the address.
std::pair<const uintptr_t, Entry>* Find(Registry& registry, uintptr_t at) {
  const auto after = registry.entries.upper_bound(at);
  if (after == registry.entries.begin()) return nullptr;
  auto& found = *std::prev(after);
  return at < found.first + found.second.mapped_bytes ? &found : nullptr;
}

uint64_t ReadableBytes(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

uint64_t InodeOf(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

// Locks say who has a file open: they go with the process, however it ends.
struct flock WholeFile(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}
bool IsOpenElsewhere(int fd) {
  struct flock lock = WholeFile(F_WRLCK);
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace

std::byte* TakeMemory(const Memory& memory) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  if (memory.bytes == 0 || memory.bytes > UINT64_MAX / 2) return nullptr;
  const uint64_t readable = ReadableBytes(memory.bytes);
  void* const data =
      mmap(nullptr, readable + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (mprotect(static_cast<std::byte*>(data) + readable, kPage, PROT_NONE) != 0) {
    munmap(data, readable + kPage);
    return nullptr;
  }
  registry.entries[reinterpret_cast<uintptr_t>(data)] = {.memory = memory, .mapped_bytes = readable + kPage};
  return static_cast<std::byte*>(data);
}

void GiveMemory(void* data) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto at = registry.entries.find(reinterpret_cast<uintptr_t>(data));
  if (at == registry.entries.end()) EndByName(Text(data) + " is freed, which nobody was given");
  Entry& entry = at->second;
  if (entry.is_freed) EndByName(Quoted(entry.memory) + " is freed twice");
  if (entry.graph_count != 0) {
    EndByName(Quoted(entry.memory) + " is freed, and " + std::to_string(entry.graph_count) +
              " graph(s) that use it are there: graphs go first");
  }
  if (entry.fd >= 0 && !entry.memory.is_opened && IsOpenElsewhere(entry.fd)) {
    EndByName(Quoted(entry.memory) + " is freed, and another process has it open: it closes it first");
  }
  if (entry.fd >= 0) close(entry.fd);
  entry.fd = -1;
  entry.is_freed = true;
  ++generation;
  // The address stays taken, so that whoever uses it is found; its bytes do not.
  if (mmap(data, entry.mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
      data) {
    EndByName("the host cannot take " + Quoted(entry.memory) + " back");
  }
}

std::optional<Memory> MemoryAt(const void* data) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto at = registry.entries.find(reinterpret_cast<uintptr_t>(data));
  if (at == registry.entries.end() || at->second.is_freed) return std::nullopt;
  return at->second.memory;
}

void FillMemory(void* data, int value, uint64_t bytes) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto first = reinterpret_cast<uintptr_t>(data);
  const auto* const found = Find(registry, first);
  const uintptr_t begin = ReadableBytes(first), end = (first + bytes) / kPage * kPage;  // whole pages of it
  const bool is_own = found != nullptr && found->second.fd < 0;
  if (value != 0 || !is_own || begin >= end) {
    std::memset(data, value, bytes);
    return;
  }
  std::memset(data, 0, begin - first);
  if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) != 0) {
    std::memset(reinterpret_cast<void*>(begin), 0, end - begin);
  }
  std::memset(reinterpret_cast<void*>(end), 0, first + bytes - end);
}

std::optional<MemoryFile> ShareMemory(const void* data) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto at = registry.entries.find(reinterpret_cast<uintptr_t>(data));
  if (at == registry.entries.end() || at->second.is_freed || at->second.memory.is_opened) return std::nullopt;
  Entry& entry = at->second;
  if (entry.fd >= 0) return MemoryFile{entry.fd, entry.inode};
  const uint64_t readable = ReadableBytes(entry.memory.bytes);
  const int fd = memfd_create("mrs-device-memory", MFD_CLOEXEC);
  if (fd < 0) return std::nullopt;
  auto* const bytes = reinterpret_cast<std::byte*>(at->first);
  bool is_whole = ftruncate(fd, static_cast<off_t>(readable)) == 0;
  for (uint64_t done = 0; is_whole && done < readable;) {
    const ssize_t wrote = pwrite(fd, bytes + done, readable - done, static_cast<off_t>(done));
    is_whole = wrote > 0;
    done += is_whole ? static_cast<uint64_t>(wrote) : 0;
  }
  if (!is_whole || mmap(bytes, readable, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != bytes) {
    close(fd);
    return std::nullopt;
  }
  entry.fd = fd;
  entry.inode = InodeOf(fd);
  return MemoryFile{entry.fd, entry.inode};
}

std::byte* OpenMemory(const Memory& memory, const std::string& path, uint64_t inode) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  struct flock has_it = WholeFile(F_RDLCK);
  const uint64_t readable = ReadableBytes(memory.bytes);
  struct stat found;
  const bool is_it = fstat(fd, &found) == 0 && found.st_ino == inode &&
                     static_cast<uint64_t>(found.st_size) == readable && fcntl(fd, F_OFD_SETLK, &has_it) == 0;
  // With a page behind it that faults.
  void* const data =
      is_it ? mmap(nullptr, readable + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
  if (data == MAP_FAILED || mmap(data, readable, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != data) {
    close(fd);
    return nullptr;
  }
  Entry& entry = registry.entries[reinterpret_cast<uintptr_t>(data)];
  entry = {.memory = memory, .mapped_bytes = readable + kPage, .fd = fd, .inode = inode};
  entry.memory.is_opened = true;
  return static_cast<std::byte*>(data);
}

bool IsOpen(uint64_t inode) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  return std::any_of(registry.entries.begin(), registry.entries.end(), [&](const auto& at) {
    return at.second.memory.is_opened && !at.second.is_freed && at.second.inode == inode;
  });
}

uint64_t TakenBytes(int device, Where where) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  uint64_t bytes = 0;
  for (const auto& [_, entry] : registry.entries) {
    const bool counts =
        !entry.is_freed && !entry.memory.is_opened && entry.memory.device == device && entry.memory.where == where;
    if (counts) bytes += entry.memory.bytes;
  }
  return bytes;
}

std::string LeftOf(std::optional<int> device) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  std::string left;
  for (const auto& [_, entry] : registry.entries) {
    const bool others_have_it = entry.fd >= 0 && !entry.memory.is_opened;
    if (entry.is_freed || others_have_it || (device.has_value() && entry.memory.device != *device)) continue;
    if (!left.empty()) left += ", ";
    left += Quoted(entry.memory) + " (" + std::to_string(entry.memory.bytes) + " bytes)";
  }
  return left;
}

std::string WhyNot(const void* data, uint64_t bytes, Where where, int device) {
  if (bytes == 0) return "";
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto at = reinterpret_cast<uintptr_t>(data);
  const auto* const found = Find(registry, at);
  if (found == nullptr) {
    return where == Where::kHost ? "" : Text(data) + " is no memory of " + DeviceText(device);
  }
  const Entry& entry = found->second;
  const uint64_t offset = at - found->first;
  const std::string what = std::to_string(bytes) + " bytes ";
  if (entry.is_freed) return what + "of " + Quoted(entry.memory) + ", which was freed";
  if (entry.memory.where != where) {
    return Quoted(entry.memory) + (where == Where::kHost ? " is a device's, not the host's" : " is the host's");
  }
  if (where == Where::kDevice && entry.memory.device != device) {
    return Quoted(entry.memory) + " is of " + DeviceText(entry.memory.device) + ", not of " + DeviceText(device);
  }
  if (offset > entry.memory.bytes || bytes > entry.memory.bytes - offset) {
    return what + "at byte " + std::to_string(offset) + " of " + Quoted(entry.memory) + ", which has " +
           std::to_string(entry.memory.bytes);
  }
  return "";
}

std::string WhyNoArgument(uint64_t word, int device) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto* const found = Find(registry, static_cast<uintptr_t>(word));
  if (found == nullptr) return "";
  const Entry& entry = found->second;
  if (entry.is_freed) return "an argument points to " + Quoted(entry.memory) + ", which was freed";
  if (entry.memory.where == Where::kDevice && entry.memory.device != device) {
    return "an argument points to " + Quoted(entry.memory) + " of " + DeviceText(entry.memory.device) + ", not of " +
           DeviceText(device);
  }
  return "";
}

std::vector<const void*> MemoryAmong(const std::vector<uint64_t>& words) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  std::set<const void*> among;
  for (const uint64_t word : words) {
    const auto* const found = Find(registry, static_cast<uintptr_t>(word));
    if (found != nullptr && !found->second.is_freed) among.insert(reinterpret_cast<const void*>(found->first));
  }
  return {among.begin(), among.end()};
}

void HoldMemory(const std::vector<const void*>& held) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  for (const void* data : held) ++registry.entries.at(reinterpret_cast<uintptr_t>(data)).graph_count;
}

void LetGoOfMemory(const std::vector<const void*>& held) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  for (const void* data : held) --registry.entries.at(reinterpret_cast<uintptr_t>(data)).graph_count;
}

uint64_t MemoryGeneration() { return generation; }

std::optional<Stretch> StretchOf(const void* data) {
  Registry& registry = Memories();
  const std::lock_guard lock(registry.mutex);
  const auto* const found = Find(registry, reinterpret_cast<uintptr_t>(data));
  if (found == nullptr || found->second.is_freed) return std::nullopt;
  return Stretch{reinterpret_cast<const std::byte*>(found->first), found->second.memory.bytes};
}

void EndByName(const std::string& what) {
  std::fprintf(stderr, "emulated device: %s\n", what.c_str());
  std::abort();
}

}  // namespace mrs::emulation
