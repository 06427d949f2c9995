#include "runtime/comm/tcp.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/comm/scheduled_communicator.h"
#include "runtime/comm/stripes.h"
#include "runtime/comm/tcp_meeting.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/comm/tcp_transport.h"

namespace mrs {
namespace {

constexpr int kMaxMeshRanks = 4096;

bool IsAmong(const std::vector<int>& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

// A rank of this host may be reached otherwise.
int StreamsTo(const MeshConfig& config, int peer) {
  if (peer == config.rank || IsAmong(config.without_socket, peer)) return 0;
  return IsAmong(config.near, peer) ? 1 : config.streams;
}

}  // namespace

Result<TcpListener> TcpListener::Bind(const std::string& address, uint16_t port) {
  MRS_ASSIGN_OR_RETURN(const AddressList list, Resolve(address, port, AI_PASSIVE));
  Fd fd(socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, list->ai_protocol));
  const int on = 1;
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd.get(), list->ai_addr, list->ai_addrlen) != 0 || listen(fd.get(), SOMAXCONN) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return Unavailable("tcp: listening on {} port {}: {}", address, port, std::strerror(errno));
  }
  const in_port_t bound_port = bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                           : reinterpret_cast<sockaddr_in&>(bound).sin_port;
  return TcpListener(std::move(fd), ntohs(bound_port));
}

TcpConnection ConnectionOf(MetLink met, bool integrity, const std::string& secret) {
  TcpConnection connection{.fd = std::move(met.fd)};
  if (integrity) {
    connection.keys = KeysOf(met.dialed ? AuthRole::kConnector : AuthRole::kAcceptor,
                             MakeKeys(secret, met.acceptor_nonce, met.connector_nonce));
  }
  return connection;
}

Result<std::vector<TcpLink>> ConnectLinks(const TcpListener& listener, const MeshConfig& config,
                                          const CommOptions& options) {
  const int size = static_cast<int>(std::min<size_t>(config.endpoints.size(), kMaxMeshRanks + 1));
  if (size > kMaxMeshRanks) return Refuse("tcp: a mesh of more than {} ranks", kMaxMeshRanks);
  if (config.rank < 0 || config.rank >= size) return Refuse("tcp: rank {} of {} does not exist", config.rank, size);
  if (config.streams < 1 || config.streams > kMaxStreams) {
    return Refuse("tcp: {} streams; there are 1 to {}", config.streams, kMaxStreams);
  }
  const Meeting meeting{.what = "tcp",
                        .rank = config.rank,
                        .size = size,
                        .shape = MeshShape::kMesh,
                        .integrity = config.integrity,
                        .streams = config.streams,
                        .secret = config.secret,
                        .end = After(std::chrono::steady_clock::now(), config.deadline),
                        .deadline = config.deadline,
                        .reach = config.reach,
                        .tuning = config.tuning,
                        .notes = config.notes,
                        .abort = options.abort,
                        .pulse = config.pulse};
  std::vector<Dial> dials;
  std::vector<Awaited> awaited;
  for (int peer = 0; peer < size; ++peer) {
    for (int stream = 0; stream < StreamsTo(config, peer); ++stream) {
      if (peer < config.rank) {
        dials.push_back({.link = {.peer = peer, .from = config.rank, .to = peer, .stream = stream},
                         .endpoint = config.endpoints[peer]});
      } else {
        awaited.push_back({.link = {.peer = peer, .from = peer, .to = config.rank, .stream = stream}});
      }
    }
  }
  MRS_ASSIGN_OR_RETURN(std::vector<MetLink> met, Meet(&listener, meeting, std::move(dials), std::move(awaited)));
  std::vector<TcpLink> links(size);
  // Of each peer they come in the order of their streams, as they were asked for.
  for (MetLink& link : met) {
    std::vector<TcpConnection>& streams = links[link.link.peer].streams;
    streams.push_back(ConnectionOf(std::move(link), config.integrity, config.secret));
  }
  return links;
}

Result<std::unique_ptr<Communicator>> ConnectMesh(const TcpListener& listener, const MeshConfig& config,
                                                  const CommOptions& options) {
  MRS_ASSIGN_OR_RETURN(std::vector<TcpLink> links, ConnectLinks(listener, config, options));
  const int size = static_cast<int>(links.size());
  auto link = std::make_shared<Link<TcpTransport>>(TcpTransport(config.rank, std::move(links)), options);
  return std::unique_ptr<Communicator>(
      std::make_unique<ScheduledCommunicator<TcpTransport>>(std::move(link), AllRanks(size)));
}

}  // namespace mrs
