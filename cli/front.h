// The network side of `mrs-exec`, as its main sees it: the port is taken before anything loads, the model comes later.
//
//   MRS_ASSIGN_OR_RETURN(Front front, BindFront("127.0.0.1", 1234, keep_alive));  // a busy port is an error here
//   MRS_RETURN_IF_ERROR(front.start(handle));                         // from now on requests are answered
//   front.stop();                                                     // after the engine's last event; bounded
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "plans/status.h"
#include "runtime/engine/served_model.h"

namespace mrs::cli {

struct Front {
  uint16_t port = 0;
  std::function<Status(const EngineHandle&)> start;
  std::function<void()> begin_drain;  // nothing new is taken, /health says so; after start
  std::function<size_t()> busy;       // answers under way
  std::function<void()> stop;
};

// port 0: any free one. `keep_alive`: after which a silent stream of events gets a comment.
Result<Front> BindFront(const std::string& host, uint16_t port, std::chrono::milliseconds keep_alive);

}  // namespace mrs::cli
