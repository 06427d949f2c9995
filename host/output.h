// What a program says. All of it passes here: nothing throws, and nothing that cannot be written decides an exit code
// by accident.
//
//   Say("mrs-exec: {}\n", error.message);        // standard error, a log: whoever read it may have left
//   MRS_RETURN_IF_ERROR(Print(text));            // standard output, the job: all of it is out, or the error says why
//   not
//
// SIGPIPE must be ignored (process.h).
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <utility>

#include "plans/status.h"

namespace mrs {

// Writes to standard error. What is not taken within a second (a full disk, a reader that left or that stands still) is
// dropped. Lines of several threads do not mix.
void SayText(std::string_view text) noexcept;
// The same for what others said: whoever hears along does not.
void PassOn(std::string_view text) noexcept;

// From now on this hears what is said, too, from whichever thread says it; null: nobody. It must not wait, nor say
// anything itself.
void HearAlong(std::function<void(std::string_view)> hear);

template <typename... Args>
void Say(fmt::format_string<Args...> format, Args&&... args) noexcept {
  try {
    SayText(fmt::format(format, std::forward<Args>(args)...));
  } catch (...) {
    SayText("out of memory\n");
  }
}

// Writes all of `text` to standard output, however slowly it is read; gives up (kCancelled) once `interrupt_fd` is
// readable, where there is one. "standard output: cannot write: No space left on device".
Status Print(std::string_view text, int interrupt_fd = -1);

}  // namespace mrs
