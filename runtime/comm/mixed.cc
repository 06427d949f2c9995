#include "runtime/comm/mixed.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "runtime/comm/mixed_transport.h"
#include "runtime/comm/scheduled_communicator.h"

namespace mrs {
namespace {

Status CheckMembers(const MixedConfig& config) {
  const int size = static_cast<int>(config.mesh.endpoints.size());
  const int rank = config.mesh.rank;
  if (rank < 0 || rank >= size) return Refuse("mixed: rank {} of {} does not exist", rank, size);
  std::vector<int> sorted = config.local;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    return Refuse("mixed: rank {} of {}: rank {} is twice among those of its host", rank, size, *twice);
  }
  for (const int member : sorted) {
    if (member < 0 || member >= size) {
      return Refuse("mixed: rank {} of {}: rank {} of its host does not exist", rank, size, member);
    }
  }
  if (!sorted.empty() && !std::binary_search(sorted.begin(), sorted.end(), rank)) {
    return Refuse("mixed: rank {} of {} is not among the {} ranks of its host", rank, size, sorted.size());
  }
  return Status();
}

Result<HostView> ViewHost(const MixedConfig& config) {
  HostView view{.region = {}, .members = config.local, .bell = {}, .bell_edges = {}};
  MRS_ASSIGN_OR_RETURN(view.region, MapRegion(static_cast<int>(config.local.size()), config.region_fd));
  view.bell = Fd(fcntl(config.bell_fd, F_DUPFD_CLOEXEC, 0));
  view.bell_edges = Fd(epoll_create1(EPOLL_CLOEXEC));
  epoll_event edge{.events = EPOLLIN | EPOLLET, .data = {}};
  if (!view.bell || !view.bell_edges || epoll_ctl(view.bell_edges.get(), EPOLL_CTL_ADD, view.bell.get(), &edge) != 0) {
    return Unavailable("mixed: rank {}: bell (descriptor {}): {}", config.mesh.rank, config.bell_fd,
                       std::strerror(errno));
  }
  return view;
}

}  // namespace

Result<HostLinks> CreateHostLinks(int rank_count, size_t ring_bytes) {
  HostLinks links;
  MRS_ASSIGN_OR_RETURN(links.region, CreateShmRegion(rank_count, ring_bytes));
  links.bell = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!links.bell) return Unavailable("shared region: eventfd: {}", std::strerror(errno));
  return links;
}

Result<std::unique_ptr<Communicator>> ConnectMixed(const TcpListener* listener, const MixedConfig& config,
                                                   const CommOptions& options) {
  MRS_RETURN_IF_ERROR(CheckMembers(config));
  const size_t size = config.mesh.endpoints.size();
  std::optional<HostView> host;
  if (config.local.size() > 1) {
    MRS_ASSIGN_OR_RETURN(host, ViewHost(config));
  }
  std::vector<TcpLink> links(size);
  if (config.local.size() < size && size > 1) {
    if (listener == nullptr) {
      return Refuse("mixed: rank {} of {}: ranks of other hosts need a listener", config.mesh.rank, size);
    }
    MeshConfig mesh = config.mesh;
    mesh.without_socket = config.local;
    MRS_ASSIGN_OR_RETURN(links, ConnectLinks(*listener, mesh, options));
  }
  auto link = std::make_shared<Link<MixedTransport>>(
      MixedTransport(std::move(host), TcpTransport(config.mesh.rank, std::move(links))), options);
  return std::unique_ptr<Communicator>(
      std::make_unique<ScheduledCommunicator<MixedTransport>>(std::move(link), AllRanks(static_cast<int>(size))));
}

}  // namespace mrs
