// A node that is not the head: it starts its own ranks and passes on what they and the head say to each other. It
// decides nothing; what its ranks come to, the head judges.
//
//   MRS_ASSIGN_OR_RETURN(auto node, NodeMain::Start(opened, ranks, party, {"10.0.0.1", 29500}, on_ended));
//   // all are there; on_ended hears, from another thread: ok once the head ends the world in order, or why it ended
//   node->Leave("it was asked to end (signal 15, Terminated)");   // the head hears that, and everyone else from it
//   node->Stop();
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/world/lifeline.h"
#include "runtime/world/rank_world.h"
#include "runtime/world/rendezvous.h"

namespace mrs {

// What the ranks of several nodes share: it never goes over the network, the nonce does.
std::array<uint8_t, 32> MeshSecret(const std::string& cluster_secret, const std::array<uint8_t, 32>& nonce);

class NodeMain {
 public:
  // Waits for the head and the other nodes, and starts this node's ranks. As RankWorld::Start, from a thread that lives
  // as long as they do. `opened` must outlive it. kCancelled once party.stop_fd is readable.
  static Result<std::unique_ptr<NodeMain>> Start(const OpenedPlan& opened, RankOptions options, const Party& party,
                                                 const TcpEndpoint& head, std::function<void(const Status&)> on_ended);
  ~NodeMain();  // Stop
  NodeMain(const NodeMain&) = delete;
  NodeMain& operator=(const NodeMain&) = delete;

  // Lines for the head's log; what this process says to standard error from Start on is there by itself.
  void SayToHead(std::string_view text);
  // Tells the head why this node ends by itself, and gives it two seconds to end the world.
  void Leave(const std::string& why);
  // Ends the ranks and the connections. No child is left after it.
  void Stop();

 private:
  NodeMain(const Party& party, std::function<void(const Status&)> on_ended);
  void Hear(const Message& message);  // of the head, over the first connection
  void End(const std::string& why);
  void LoseHead(const std::string& why);
  Status PassUp();  // until the world ends; why
  void PassDown();
  Result<std::string> Peers(wire::Body body) const;  // with the secret itself

  const Party party_;
  const std::function<void(const Status&)> on_ended_;
  NodeLink link_;
  std::unique_ptr<RankVoices> voices_;  // while there are ranks
  std::unique_ptr<RankWorld> world_;
  std::shared_ptr<Lifelines> lines_;
  std::mutex mutex_;
  std::optional<std::string> end_;     // guarded by mutex_: why the world ends
  std::atomic<bool> in_order_{false};  // the head said so
  std::atomic<bool> stopped_{false};
  std::thread up_, down_;
};

}  // namespace mrs
