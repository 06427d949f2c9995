#include "runtime/rank/cuda/shared_library.h"

#include <dlfcn.h>

namespace mrs {

void* OpenLibrary(const char* name, std::string* why) {
  void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) *why = dlerror();
  return library;
}

void* FindCall(void* library, const char* name, std::string* why) {
  void* const call = dlsym(library, name);
  if (call != nullptr) return call;
  const char* const said = dlerror();  // nothing, of what is there and null
  *why = said != nullptr ? said : std::string(name) + " is null";
  return nullptr;
}

}  // namespace mrs
