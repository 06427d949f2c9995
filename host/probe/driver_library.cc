#include "host/probe/driver_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace mrs::probe {

void* OpenDriverLibrary(const char* library, DriverRecord* record, LibraryRecord* out) {
  record->step = "dlopen";
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  out->found = handle != nullptr;
  if (handle == nullptr) out->error = std::string_view(dlerror());
  return handle;
}

void NoteFailure(const DriverRecord& record, int code, const std::string& described, LibraryRecord* out) {
  out->error = fmt::format("{}: {}", record.step.view(), described);
  out->code = code;
}

std::string DescribeCode(const char* name, const char* otherwise, int code, const char* said) {
  return fmt::format("{} ({}){}{}", name == nullptr ? otherwise : name, code, said == nullptr ? "" : ": ",
                     said == nullptr ? "" : said);
}

}  // namespace mrs::probe
