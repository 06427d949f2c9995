// A library that is opened while the program runs, which so starts where there is none.
//
//   std::string why;
//   void* const library = OpenLibrary("libnccl.so.2", &why);
//   // null: "libnccl.so.2: cannot open shared object file: No such file or directory"
//   void* const call = FindCall(library, "ncclCommFinalize", &why);
//   // null: "/usr/lib/libnccl.so.2: undefined symbol: ncclCommFinalize"
//
// Chosen at link time, as the device is: by the loader (shared_library.cc), or for the emulator among the libraries
// that the program has inside (emulated/shared_library.cc).
#pragma once

#include <string>

namespace mrs {

// Never closed: threads of it, or what it registered, may outlive whoever opened it. Again: the same.
void* OpenLibrary(const char* name, std::string* why);
void* FindCall(void* library, const char* name, std::string* why);

}  // namespace mrs
