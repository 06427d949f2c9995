// Every thread is started here: that there is none is an error, and what leaves a thread's body goes to whom it
// concerns.
//
//   MRS_ASSIGN_OR_RETURN(thread_, StartThread("the engine", [this] { Loop(); }, [this](const Error& e) { Fail(e); }));
//   // "cannot start a thread: Resource temporarily unavailable (for the engine); raise ulimit -u, ulimit -v or ..."
#pragma once

#include <functional>
#include <thread>

#include "plans/status.h"

namespace mrs {

// `purpose` is a literal. `escaped` hears, from that thread, of the exception that ended its body; where even that
// throws the process ends with exit code 1 and a message.
Result<std::thread> StartThread(const char* purpose, std::function<void()> body,
                                std::function<void(const Error&)> escaped);

}  // namespace mrs
