#include "runtime/comm/tcp_transport.h"

#include <poll.h>

#include <array>

#include "runtime/comm/stripes.h"

namespace mrs {

TcpTransport::TcpTransport(int rank, std::vector<TcpLink> links, std::shared_ptr<void> support)
    : rank_(rank), support_(std::move(support)), peers_(links.size()) {
  for (size_t peer = 0; peer < links.size(); ++peer) {
    const int count = static_cast<int>(links[peer].streams.size());
    for (int index = 0; index < count; ++index) {
      peers_[peer].streams.emplace_back(
          std::move(links[peer].streams[index]),
          TcpStreamName{
              .peer = static_cast<int>(peer), .index = index, .count = count, .through = links[peer].through});
    }
  }
}

Result<size_t> TcpTransport::TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body) {
  Peer& to = peers_[peer];
  const Stripe stripe = NextStripe(!head.empty(), body.size(), static_cast<int>(to.streams.size()));
  to.write_stream = stripe.stream;
  return to.streams[stripe.stream].TryWrite(head, body.first(stripe.body_bytes));
}

Result<size_t> TcpTransport::TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body) {
  Peer& from = peers_[peer];
  const Stripe stripe = NextStripe(!head.empty(), body.size(), static_cast<int>(from.streams.size()));
  from.read_stream = stripe.stream;
  return from.streams[stripe.stream].TryRead(head, body.first(stripe.body_bytes));
}

void TcpTransport::Wait(int write_peer, int read_peer, std::chrono::milliseconds limit) {
  std::array<pollfd, 2> polls{};
  nfds_t count = 0;
  if (read_peer >= 0) polls[count++] = {.fd = read_socket(read_peer), .events = POLLIN, .revents = 0};
  if (write_peer >= 0) polls[count++] = {.fd = write_socket(write_peer), .events = POLLOUT, .revents = 0};
  poll(polls.data(), count, static_cast<int>(limit.count()));
}

void TcpTransport::Shut() {
  for (Peer& peer : peers_) {
    for (TcpStream& stream : peer.streams) stream.Shut();
  }
}

}  // namespace mrs
