// A library of the GPUs' driver, opened and asked: what ask_cuda.cc and ask_nvml.cc have in common.
//
//   void* const handle = OpenDriverLibrary("libcuda.so.1", record, &record->cuda);
//   if (handle == nullptr) return;                     // record->cuda.error says why
#pragma once

#include <string>

#include "host/probe/gpu_record.h"

namespace mrs::probe {

// Null where it cannot be loaded: then `out` says why. It stays open: the child that asks ends soon.
void* OpenDriverLibrary(const char* library, DriverRecord* record, LibraryRecord* out);

// Calls, and leaves in the record which call it is, since it may never come back. An old driver lacks what came later:
// then it is `absent`, the library's own code for that.
template <typename... P, typename... A>
int CallDriver(DriverRecord* record, const char* name, int absent, int (*call)(P...), A... arguments) {
  record->step = name;
  return call == nullptr ? absent : call(arguments...);
}

// That the record's step gave `code`, which `described` says in words, and nothing more is asked.
void NoteFailure(const DriverRecord& record, int code, const std::string& described, LibraryRecord* out);

// "NAME (3): what the library says of it"; `name` and `said` may be null.
std::string DescribeCode(const char* name, const char* otherwise, int code, const char* said);

}  // namespace mrs::probe
