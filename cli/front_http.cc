#include <memory>
#include <utility>

#include "cli/front.h"
#include "runtime/serve/server.h"

namespace mrs::cli {

Result<Front> BindFront(const std::string& host, uint16_t port, std::chrono::milliseconds keep_alive) {
  MRS_ASSIGN_OR_RETURN(serve::BoundListener bound, serve::BindListener(host, port));
  // The functions of a Front are copied; what they share is the listener, and then the server.
  struct State {
    serve::BoundListener listener;
    std::unique_ptr<serve::Server> server;
  };
  auto state = std::make_shared<State>(State{std::move(bound), nullptr});
  Front front;
  front.port = state->listener.port;
  front.start = [state, keep_alive](const EngineHandle& handle) -> Status {
    serve::ServeOptions options;
    options.keep_alive = keep_alive;
    MRS_ASSIGN_OR_RETURN(state->server, serve::Server::Start(std::move(state->listener), handle, options));
    return Status();
  };
  front.begin_drain = [state] {
    if (state->server) state->server->BeginDrain();
  };
  front.busy = [state] { return state->server ? state->server->busy() : 0; };
  front.stop = [state] {
    if (state->server) state->server->Stop();
  };
  return front;
}

}  // namespace mrs::cli
