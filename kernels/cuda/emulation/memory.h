// Memory of the emulated devices, and of the host where a device reaches it: which there is, and what was freed.
//
//   std::byte* const weights = TakeMemory({.what = "weights", .bytes = 4096, .device = 0});
//   WhyNot(weights + 4000, 100, Where::kDevice, 0)   // "100 bytes at byte 4000 of 'weights', which has 4096"
//   GiveMemory(weights);                             // a page that faults from now on, never used again
//   WhyNot(weights, 4, Where::kDevice, 0)            // "4 bytes of 'weights', which was freed"
//
// What a device would take without a word, and do wrong later, ends the program by name: memory freed twice, or under a
// graph that has its address, or while another process has it open. So does memory that is left when the program ends
// by itself, but what other processes were given: whether all have closed it its owner may not know, and leaves it
// then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mrs::emulation {

enum class Where : uint8_t { kDevice, kHost };
struct Memory {
  std::string what;  // for messages
  uint64_t bytes = 0;
  int device = 0;
  Where where = Where::kDevice;
  bool is_opened = false;  // it is another process's, and takes nothing of the device
};

// Zeros, at the start of a page; null: the host has none left. Bytes are at least one.
std::byte* TakeMemory(const Memory& memory);
void GiveMemory(void* data);
// That are there now: of a device, of either side.
uint64_t TakenBytes(int device, Where where);
// What begins there and has not been given back; nothing: there is none.
std::optional<Memory> MemoryAt(const void* data);
// As memset, of bytes that are all there. Whole pages of zeros cost the host nothing.
void FillMemory(void* data, int value, uint64_t bytes);

// A file with that memory, which other processes open by "/proc/PID/fd/FD" and its inode: the memory is that file from
// now on. Null: `data` is not the first byte of memory that is there, or the host has no file left.
struct MemoryFile {
  int fd = -1;  // borrowed
  uint64_t inode = 0;
};
std::optional<MemoryFile> ShareMemory(const void* data);
// What such a file has, until GiveMemory; null: there is no such file any more.
std::byte* OpenMemory(const Memory& memory, const std::string& path, uint64_t inode);
// Whether this process has it open.
bool IsOpen(uint64_t inode);

// "'weights' (4096 bytes), 'a batch' (64 bytes)", of a device or of all; empty: all was given back.
std::string LeftOf(std::optional<int> device);

// Why `bytes` at `data` are not to be had as memory of `where`; empty: they are. On the host any address does that is
// not a device's: a program has memory that no device knows of.
std::string WhyNot(const void* data, uint64_t bytes, Where where, int device);
// Why a kernel may not be given the word: it is an address of what was freed, or of another device. Empty: it may.
std::string WhyNoArgument(uint64_t word, int device);

// Memory that a graph has addresses of, among the words of its launches. It may not be freed before the graph.
std::vector<const void*> MemoryAmong(const std::vector<uint64_t>& words);
void HoldMemory(const std::vector<const void*>& held);
void LetGoOfMemory(const std::vector<const void*>& held);

// The stretch of memory in which an address lies, if it is there.
struct Stretch {
  const std::byte* data;
  uint64_t bytes;
};
std::optional<Stretch> StretchOf(const void* data);
// Another whenever something was freed.
uint64_t MemoryGeneration();

// "emulated device: {}", and the end of the program.
[[noreturn]] void EndByName(const std::string& what);

}  // namespace mrs::emulation
