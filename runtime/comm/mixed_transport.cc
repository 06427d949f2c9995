#include "runtime/comm/mixed_transport.h"

#include <poll.h>
#include <sys/epoll.h>

namespace mrs {

MixedTransport::MixedTransport(std::optional<HostView> host, TcpTransport sockets)
    : slots_(sockets.size(), -1), sockets_(std::move(sockets)) {
  if (!host) return;
  for (size_t slot = 0; slot < host->members.size(); ++slot) slots_[host->members[slot]] = static_cast<int>(slot);
  bell_ = std::move(host->bell);
  bell_edges_ = std::move(host->bell_edges);
  region_.emplace(std::move(host->region), slots_[rank()], std::move(host->members), bell_.get());
}

Result<size_t> MixedTransport::TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body) {
  const int slot = Slot(peer);
  return slot >= 0 ? region_->TryWrite(slot, head, body) : sockets_.TryWrite(peer, head, body);
}

Result<size_t> MixedTransport::TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body) {
  const int slot = Slot(peer);
  return slot >= 0 ? region_->TryRead(slot, head, body) : sockets_.TryRead(peer, head, body);
}

void MixedTransport::Wait(int write_peer, int read_peer, std::chrono::milliseconds limit) {
  const int write_slot = Slot(write_peer);
  const int read_slot = Slot(read_peer);
  const bool at_region = write_slot >= 0 || read_slot >= 0;
  const bool writes_socket = write_peer >= 0 && write_slot < 0;
  const bool reads_socket = read_peer >= 0 && read_slot < 0;
  if (!writes_socket && !reads_socket) return region_->Wait(write_slot, read_slot, limit);
  if (!at_region) return sockets_.Wait(write_peer, read_peer, limit);
  // One of each, so one socket.
  pollfd polls[] = {{.fd = reads_socket ? sockets_.read_socket(read_peer) : sockets_.write_socket(write_peer),
                     .events = static_cast<short>(reads_socket ? POLLIN : POLLOUT),
                     .revents = 0},
                    {.fd = bell_edges_.get(), .events = POLLIN, .revents = 0}};
  if (region_->AnnouncePoll(write_slot, read_slot)) poll(polls, 2, static_cast<int>(limit.count()));
  region_->EndPoll();
  if ((polls[1].revents & POLLIN) != 0) {
    epoll_event rung;
    epoll_wait(bell_edges_.get(), &rung, 1, 0);  // this edge is known
  }
}

void MixedTransport::Shut() {
  if (region_) region_->Shut();
  sockets_.Shut();
}

}  // namespace mrs
