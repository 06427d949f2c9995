#include "cli/front.h"

namespace mrs::cli {

Result<Front> BindFront(const std::string& host, uint16_t port) {
  return Refuse("this build has no HTTP server to listen on {}:{}; use --prompt", host, port);
}

}  // namespace mrs::cli
