#include "runtime/comm/ring.h"

#include <algorithm>
#include <map>
#include <utility>

#include "runtime/comm/relay.h"
#include "runtime/comm/ring_ways.h"
#include "runtime/comm/scheduled_communicator.h"
#include "runtime/comm/tcp_meeting.h"
#include "runtime/comm/tcp_transport.h"

namespace mrs {
namespace {

Status CheckConfig(const RingConfig& config) {
  if (config.size < 2 || config.size > kMaxRingRanks) {
    return Refuse("ring: {} ranks; a ring has 2 to {}", config.size, kMaxRingRanks);
  }
  if (config.rank < 0 || config.rank >= config.size) {
    return Refuse("ring: rank {} of {} does not exist", config.rank, config.size);
  }
  if (config.right.address.empty() || config.right.port == 0) {
    return Refuse("ring: rank {} of {}: its right neighbour, rank {}, has no address and port", config.rank,
                  config.size, (config.rank + 1) % config.size);
  }
  return Status();
}

// The ranks between, for errors.
std::string Through(const RingWay& way, int size) {
  std::string text;
  for (int rank = (way.from + 1) % size; rank != way.to; rank = (rank + 1) % size) {
    text += fmt::format("{}{}", text.empty() ? "rank " : " or ", rank);
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Communicator>> ConnectRing(const TcpListener& listener, const RingConfig& config,
                                                  const CommOptions& options) {
  MRS_RETURN_IF_ERROR(CheckConfig(config));
  const int rank = config.rank;
  const int size = config.size;
  const int right = (rank + 1) % size;
  const int left = (rank + size - 1) % size;
  Meeting meeting{.what = "ring",
                  .rank = rank,
                  .size = size,
                  .shape = MeshShape::kRing,
                  .integrity = config.integrity,
                  .secret = config.secret,
                  .end = After(std::chrono::steady_clock::now(), config.deadline),
                  .deadline = config.deadline,
                  .reach = config.reach,
                  .tuning = config.tuning,
                  .notes = config.notes,
                  .abort = options.abort,
                  .pulse = config.pulse,
                  .others_later = config.others_later};
  // Every connection of every way that crosses to the right is dialed, and from the left awaited: all at once.
  std::vector<Dial> dials;
  std::vector<Awaited> awaited;
  for (const RingWay& way : RingWays(size)) {
    if (CrossesRightOf(way, rank, size)) {
      dials.push_back({.link = {.peer = right, .from = way.from, .to = way.to},
                       .endpoint = config.right,
                       .role = "its right neighbour, "});
    }
    if (CrossesRightOf(way, left, size)) {
      awaited.push_back({.link = {.peer = left, .from = way.from, .to = way.to}, .role = "its left neighbour, "});
    }
  }
  MRS_ASSIGN_OR_RETURN(std::vector<MetLink> met, Meet(&listener, meeting, std::move(dials), std::move(awaited)));

  // Ways between other ranks are joined here; far ones of this rank go on to their other end.
  std::vector<TcpLink> links(size);
  const auto take = [&](MetLink one) {
    std::vector<TcpConnection>& streams = links[one.link.peer].streams;
    streams.push_back(ConnectionOf(std::move(one), config.integrity, config.secret));
  };
  std::map<std::pair<int, int>, Relay::Way> passing;
  std::vector<Dial> far_dials;
  std::vector<Awaited> far_awaited;
  for (MetLink& link : met) {
    const LinkId id = link.link;
    const bool begins = id.from == rank && link.dialed;
    const bool ends = id.to == rank && !link.dialed;
    if (begins && id.to == right) {
      // Of two ranks, each dials the other: one of the connections is enough.
      if (size > 2 || rank == 0) take(std::move(link));
    } else if (ends && id.from == left) {
      if (size > 2 || rank == 1) take(std::move(link));
    } else if (begins) {
      far_dials.push_back(
          {.link = {.peer = id.to, .from = id.from, .to = id.to}, .endpoint = {}, .fd = std::move(link.fd)});
    } else if (ends) {
      far_awaited.push_back({.link = {.peer = id.from, .from = id.from, .to = id.to}, .fd = std::move(link.fd)});
    } else {
      Relay::Way& way = passing[{id.from, id.to}];
      (link.dialed ? way.b : way.a) = std::move(link.fd);
    }
  }
  std::shared_ptr<Relay> relay;
  if (!passing.empty()) {
    std::vector<Relay::Way> ways;
    for (auto& [id, way] : passing) ways.push_back(std::move(way));
    MRS_ASSIGN_OR_RETURN(relay, Relay::Start(std::move(ways)));
  }
  // What goes through others is theirs to explain.
  if (config.others_later.has_value() && config.deadline != kNoTimeout) {
    meeting.end = After(std::chrono::steady_clock::now(), config.deadline) + *config.others_later;
  }
  MRS_ASSIGN_OR_RETURN(met, Meet(nullptr, meeting, std::move(far_dials), std::move(far_awaited)));
  for (MetLink& link : met) {
    const LinkId id = link.link;
    take(std::move(link));
    links[id.peer].through = Through({id.from, id.to}, size);
  }
  auto link = std::make_shared<Link<TcpTransport>>(TcpTransport(rank, std::move(links), std::move(relay)), options,
                                                   /*of_ring=*/true);
  return std::unique_ptr<Communicator>(
      std::make_unique<ScheduledCommunicator<TcpTransport>>(std::move(link), AllRanks(size)));
}

}  // namespace mrs
