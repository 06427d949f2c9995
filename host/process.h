// The first and the last thing that a main does: descriptors 0 to 2 are there, a reader that left is an error and no
// signal, and what escapes is a message and an exit code.
//
//   int main(int argc, char** argv) { return mrs::RunMain("mrs-exec", [&] { return Main(argc, argv); }); }
#pragma once

#include <functional>
#include <type_traits>

#include "plans/status.h"

namespace mrs {

// Exit codes of both programs: 0 done, 1 refused or failed, 2 wrong usage. Says "PROGRAM: MESSAGE".
int Fail(const Error& error) noexcept;

// Prepares the process, then runs `body`. An exception that leaves it is said and gives 1; so does one that no frame of
// any thread would take. `program` (a literal) is what messages begin with.
int RunMain(const char* program, const std::function<int()>& body) noexcept;

// As many open files as the hard limit allows, where the soft one is lower: a server holds one for each client, and the
// head of several nodes two for each node.
void RaiseDescriptorLimit() noexcept;

// In a catch block: what was caught, for people. Never throws: "out of memory" fits everywhere.
Error CaughtError() noexcept;

// The status that `call` returns (ok where it returns nothing), or what it threw.
template <typename Call>
Status Guarded(Call call) noexcept {
  try {
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      return Status();
    } else {
      return call();
    }
  } catch (...) {
    return CaughtError();
  }
}

// For when there is no memory or no caller left to tell: says it and ends the process with 1, without destructors. Rank
// processes end with their supervisor.
[[noreturn]] void EndProcess(const char* what, const Error& error) noexcept;

}  // namespace mrs
