#include "runtime/world/node_main.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <string_view>

#include "host/output.h"
#include "host/thread.h"
#include "plans/printable.h"
#include "runtime/comm/tcp_auth.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/world/message_limits.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kWordWait{1000};   // for the reason to come over one connection when the other has closed
constexpr milliseconds kLeaveWait{2000};  // for the head to end the world

}  // namespace

std::array<uint8_t, 32> MeshSecret(const std::string& cluster_secret, const std::array<uint8_t, 32>& nonce) {
  std::string message = "mesh of ranks";
  message.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  const Proof proof = Hmac(cluster_secret, message);
  std::array<uint8_t, 32> secret;
  std::memcpy(secret.data(), proof.data(), secret.size());
  return secret;
}

NodeMain::NodeMain(const Party& party, std::function<void(const Status&)> on_ended)
    : party_(party), on_ended_(std::move(on_ended)) {}

NodeMain::~NodeMain() { Stop(); }

Result<std::unique_ptr<NodeMain>> NodeMain::Start(const OpenedPlan& opened, RankOptions options, const Party& party,
                                                  const TcpEndpoint& head,
                                                  std::function<void(const Status&)> on_ended) {
  std::unique_ptr<NodeMain> node(new NodeMain(party, std::move(on_ended)));
  NodeMain* const raw = node.get();
  MRS_ASSIGN_OR_RETURN(const std::vector<KvSpace> spaces, KvSpacesOf(opened.plan()));
  MRS_ASSIGN_OR_RETURN(node->link_, JoinRendezvous(head, party));
  node->link_.work->set_max_body_bytes(MaxBatchBytes(opened.plan(), spaces.size()));
  options.rehearsal = node->link_.stands.rehearsal;
  options.share = NodeShare{.nodes = party.nodes,
                            .node = party.node,
                            .address = node->link_.own_address,
                            .cluster_port = node->link_.stands.cluster_port};
  MRS_ASSIGN_OR_RETURN(node->voices_, RankVoices::Start(options.share->nodes.at(party.node).ranks));
  options.voices = node->voices_.get();
  HearAlong([raw](std::string_view text) { raw->SayToHead(text); });
  // The lines first: the head must hear beats while the ranks are started, and evidence from their first moment on.
  std::vector<std::unique_ptr<Channel>> controls;
  controls.push_back(std::move(node->link_.control));
  LifelineCallbacks callbacks{
      .on_message = [raw](size_t, const Message& message) { raw->Hear(message); },
      .on_lost = [raw](size_t, const std::string& why) { raw->LoseHead(why); },
      .beat =
          [raw] {
            const std::lock_guard lock(raw->mutex_);
            return wire::Encode(raw->world_ == nullptr ? wire::Beat{} : raw->world_->Beat()) +
                   raw->voices_->TakeMessage();
          },
      .last_word = wire::Encode(wire::Leaving{fmt::format("it has heard nothing from {} for {} s",
                                                          NodeText(party.nodes, 0), kNodeSilence.count() / 1000)})};
  MRS_ASSIGN_OR_RETURN(std::shared_ptr<Lifelines> lines, Lifelines::Start(std::move(controls), std::move(callbacks)));
  {
    const std::lock_guard lock(node->mutex_);
    node->lines_ = std::move(lines);
  }
  Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(
      opened, options, {.on_lost = {}, .on_slow = {}, .on_progress = {}, .on_evidence = [raw](const auto& message) {
                          raw->lines_->TellAll(raw->voices_->TakeMessage() + message);  // its last words first
                        }});
  if (!world.ok()) {
    node->Leave(world.message());
    return world.error();
  }
  {
    const std::lock_guard lock(node->mutex_);
    node->world_ = *std::move(world);
    if (node->in_order_) node->world_->Interrupt();
    if (node->end_.has_value()) node->world_->EndWith(*node->end_);
  }
  const auto escaped = [raw](const Error& error) { raw->End(error.message); };
  MRS_ASSIGN_OR_RETURN(node->down_, StartThread(
                                        "what passes on batches", [raw] { raw->PassDown(); }, escaped));
  MRS_ASSIGN_OR_RETURN(node->up_, StartThread(
                                      "what passes on results", [raw] { raw->on_ended_(raw->PassUp()); },
                                      [raw](const Error& error) { raw->on_ended_(error); }));
  return node;
}

void NodeMain::End(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (in_order_ || end_.has_value()) return;
  end_ = why;
  if (world_ != nullptr) world_->EndWith(why);
}

// The head hears of it, too: what it says may be changed on its way here, and what it hears not.
void NodeMain::LoseHead(const std::string& why) {
  const std::string head = NodeText(party_.nodes, 0);
  {
    const std::lock_guard lock(mutex_);
    if (lines_ != nullptr && !in_order_ && !end_.has_value()) {
      lines_->TellAll(wire::Encode(wire::Leaving{fmt::format("for it, {} is gone: {}", head, why)}));
    }
  }
  End(fmt::format("{} is gone: {}", head, why));
}

void NodeMain::Hear(const Message& message) {
  if (message.type == wire::MessageType::kBeat || message.type == wire::MessageType::kWaiting) return;
  if (message.type == wire::MessageType::kShutdown) {
    const std::lock_guard lock(mutex_);
    if (end_.has_value()) return;  // what ends a broken world, too
    in_order_ = true;
    if (world_ != nullptr) world_->Interrupt();
    return;
  }
  if (message.type == wire::MessageType::kVerdict) {
    const Result<wire::Verdict> verdict = wire::DecodeVerdict(message.body);
    return End(verdict.ok() ? Printable(verdict->text) : verdict.message());
  }
  End(fmt::format("the head sent a {} message", wire::MessageTypeName(message.type)));
}

// Both directions hand on what they do not look into, but for the secret.
Status NodeMain::PassUp() {
  for (;;) {
    const Result<Message> message = world_->Hear();
    if (!message.ok()) return in_order_ ? Status() : message.status();
    const std::span<const std::byte> body[] = {message->body};
    const std::string head = wire::EncodeHeader(message->type, static_cast<uint32_t>(message->body.size()));
    // Where the head is gone, the other connection says so.
    [[maybe_unused]] const Status sent =
        link_.work->Send(head, body, Deadline::max(), {}, {.fd = world_->ended_fd(), .grace = milliseconds(0)});
  }
}

void NodeMain::PassDown() {
  for (;;) {
    const Result<std::optional<Message>> message = link_.work->ReceiveOr(Deadline::max(), world_->ended_fd());
    if (!message.ok()) {
      if (!link_.work->peer_gone()) return LoseHead(message.message());
      std::this_thread::sleep_for(kWordWait);
      return End(fmt::format("{} is gone: a connection of it closed", NodeText(party_.nodes, 0)));
    }
    if (!message->has_value()) return;
    Status passed;
    if ((*message)->type == wire::MessageType::kPeers) {
      const Result<std::string> peers = Peers((*message)->body);
      if (!peers.ok()) return End(peers.message());
      passed = world_->Pass(*peers, {});
    } else {
      passed = world_->Pass(wire::EncodeHeader((*message)->type, static_cast<uint32_t>((*message)->body.size())),
                            (*message)->body);
    }
    if (!passed.ok()) return;  // a rank is gone, which the world knows
  }
}

Result<std::string> NodeMain::Peers(wire::Body body) const {
  MRS_ASSIGN_OR_RETURN(wire::Peers peers, wire::DecodePeers(body));
  peers.secret = MeshSecret(party_.secret, peers.secret);
  return wire::Encode(peers);
}

void NodeMain::SayToHead(std::string_view text) { voices_->Say(text); }

void NodeMain::Leave(const std::string& why) {
  lines_->TellAll(wire::Encode(wire::Leaving{why}));
  const Deadline deadline = Clock::now() + kLeaveWait;
  const auto heard = [this] {
    const std::lock_guard lock(mutex_);
    return in_order_ || end_.has_value();
  };
  while (!heard() && Clock::now() < deadline) std::this_thread::sleep_for(milliseconds(5));
}

void NodeMain::Stop() {
  if (stopped_.exchange(true)) return;
  HearAlong(nullptr);
  if (world_ != nullptr) world_->Stop();
  if (up_.joinable()) up_.join();
  if (down_.joinable()) down_.join();
  lines_.reset();  // the head has waited for this
}

}  // namespace mrs
