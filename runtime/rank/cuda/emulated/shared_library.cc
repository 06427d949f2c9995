#include "runtime/rank/cuda/shared_library.h"

#include <fmt/format.h>

#include <string_view>

#include "runtime/rank/cuda/emulated/libraries.h"

namespace mrs {

using emulated::Library;

void* OpenLibrary(const char* name, std::string* why) {
  for (const Library* const library : {&emulated::NcclLibrary(), &emulated::CublasltLibrary()}) {
    if (std::string_view(library->name) != name) continue;
    if (auto asked = emulated::Fails(library->open, emulated::CurrentDevice())) {
      *why = *std::move(asked);
      return nullptr;
    }
    return const_cast<Library*>(library);
  }
  *why = fmt::format("{}: there is no such library in the emulator", name);
  return nullptr;
}

void* FindCall(void* library, const char* name, std::string* why) {
  const Library& of = *static_cast<const Library*>(library);
  for (const emulated::LibraryCall& call : of.calls) {
    if (std::string_view(call.name) == name) return call.address;
  }
  *why = fmt::format("{}: undefined symbol: {}", of.name, name);
  return nullptr;
}

}  // namespace mrs
