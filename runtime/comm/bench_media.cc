// What collectives cost beside a bare exchange of the same bytes over the same medium, by turns in the same run.
//
//   bench_media [seconds for each row] [polls before a rank blocks] [rows]
//
// Ranks are processes, each on a core of its own where there are so many. `bare` is the least that moves these bytes:
// over shared memory a copy into memory of both and one out of it, with a flag that is polled; over TCP non-blocking
// writes and reads, polled as often as the ranks' own. A row's kinds run by turns; `with tags` is the same with
// integrity on. On a busy host the median is the host's; the fast tenth says more of what is measured.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <vector>

#include "runtime/comm/region.h"
#include "runtime/comm/ring.h"
#include "runtime/comm/tcp.h"
#include "runtime/comm/tcp_socket.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;

int polls_before_blocking = 20000;  // cores are free, or the figures mean little

template <typename T>
T ValueOrExit(Result<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "bench_media: %s\n", result.message().c_str());
  std::exit(1);
}

void CheckOrExit(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench_media: %s\n", status.message().c_str());
  std::exit(1);
}

// Pages that all processes of a row share.
struct Shared {
  std::atomic<uint32_t> arrived;  // of the barrier between measurements
  std::atomic<uint32_t> generation;
  std::atomic<uint32_t> stop;
  alignas(64) std::atomic<uint64_t> written[2];
  alignas(64) std::byte slots[2][size_t{1} << 20];
};

Shared* MapShared() {
  void* const page = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) std::exit(1);
  return new (page) Shared;
}

void Gather(Shared* shared, uint32_t size) {
  const uint32_t generation = shared->generation.load();
  if (shared->arrived.fetch_add(1) + 1 == size) {
    shared->arrived.store(0);
    shared->generation.fetch_add(1);
    return;
  }
  while (shared->generation.load() == generation) usleep(20);
}

// Both directions at once on blocking-free sockets, polled.
void BareSocketExchange(int out, int in, std::span<const std::byte> send_bytes, std::span<std::byte> receive_bytes) {
  size_t sent = 0;
  size_t received = 0;
  int idle = 0;
  while (sent < send_bytes.size() || received < receive_bytes.size()) {
    bool moved = false;
    if (sent < send_bytes.size()) {
      const ssize_t bytes = send(out, send_bytes.data() + sent, send_bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (bytes > 0) sent += static_cast<size_t>(bytes), moved = true;
    }
    if (received < receive_bytes.size()) {
      const ssize_t bytes = recv(in, receive_bytes.data() + received, receive_bytes.size() - received, MSG_DONTWAIT);
      if (bytes > 0) received += static_cast<size_t>(bytes), moved = true;
      if (bytes == 0) std::exit(1);
    }
    if (moved) idle = 0;
    if (moved || idle++ < polls_before_blocking) continue;
    pollfd polls[2];
    nfds_t count = 0;
    if (sent < send_bytes.size()) polls[count++] = {.fd = out, .events = POLLOUT, .revents = 0};
    if (received < receive_bytes.size()) polls[count++] = {.fd = in, .events = POLLIN, .revents = 0};
    poll(polls, count, 1000);
  }
}

// A connection of loopback, both ends.
std::pair<Fd, Fd> SocketPair() {
  const TcpListener listener = ValueOrExit(TcpListener::Bind());
  Fd connecting(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(listener.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(connecting.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::exit(1);
  pollfd waiting{.fd = listener.fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, 1000);
  Fd accepted(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted) std::exit(1);
  TuneSocket(connecting.get(), "");
  TuneSocket(accepted.get(), "");
  return {std::move(connecting), std::move(accepted)};
}

const char* only = "";  // rows whose names have it

struct Row {
  const char* name;
  int size;
  size_t bytes;
  // Made in the process of `rank`; each call is one round.
  std::function<std::function<void()>(int rank)> bare;
  std::function<std::function<void()>(int rank)> ours;
  std::function<std::function<void()>(int rank)> tagged;  // may be empty
};

double Quantile(std::vector<double> values, double share) {
  const auto place = values.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(values.size()));
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

// Rank 0 times; all rounds of all kinds by turns, in blocks, so that what the host does to one it does to the others.
void Measure(const Row& row, double seconds) {
  if (std::strstr(row.name, only) == nullptr) return;
  Shared* const shared = MapShared();
  std::vector<pid_t> children;
  const auto run = [&](int rank) {
    // A core of its own, where there are so many: else the scheduler may put those who wake each other on one.
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(rank % static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), &core);
    sched_setaffinity(0, sizeof(core), &core);
    std::vector<std::function<void()>> kinds{row.bare(rank), row.ours(rank)};
    if (row.tagged) kinds.push_back(row.tagged(rank));
    std::vector<std::vector<double>> times(kinds.size());
    const Clock::time_point end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    constexpr int kBlock = 20;
    for (;;) {
      Gather(shared, static_cast<uint32_t>(row.size));
      if (rank == 0 && Clock::now() >= end) shared->stop.store(1);
      Gather(shared, static_cast<uint32_t>(row.size));
      if (shared->stop.load() != 0) break;
      for (size_t kind = 0; kind < kinds.size(); ++kind) {
        for (int i = 0; i < kBlock; ++i) {
          const Clock::time_point begin = Clock::now();
          kinds[kind]();
          if (i > 1) times[kind].push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
        }
      }
    }
    if (rank != 0) return;
    for (const auto& [name, share] : {std::pair{"median", 0.5}, std::pair{"fast tenth", 0.1}}) {
      const double bare = Quantile(times[0], share);
      const double ours = Quantile(times[1], share);
      std::printf("%-22s %-10s bare %9.1f us  ours %9.1f us  ratio %5.2f", row.name, name, bare, ours, ours / bare);
      if (row.tagged) {
        const double tagged = Quantile(times[2], share);
        std::printf("  with tags %9.1f us (%+.0f %%)", tagged, 100 * (tagged / ours - 1));
      }
      std::printf("  of %zu rounds\n", times[0].size());
    }
    std::fflush(stdout);
  };
  for (int rank = 1; rank < row.size; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      run(rank);
      _exit(0);
    }
    children.push_back(child);
  }
  run(0);
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  munmap(shared, sizeof(Shared));
}

std::function<void()> AllReduceOf(std::unique_ptr<Communicator> comm, size_t bytes) {
  auto shared = std::make_shared<std::unique_ptr<Communicator>>(std::move(comm));
  auto data = std::make_shared<std::vector<float>>(bytes / 4, 0.0f);
  // What a plan takes: few messages while small, few bytes while large.
  const ReduceAlgorithm algorithm =
      bytes > (size_t{64} << 10) ? ReduceAlgorithm::kHalvingDoubling : ReduceAlgorithm::kDoubling;
  return [=] { CheckOrExit((*shared)->AllReduce(*data, *data, algorithm)); };
}

CommOptions Polling() { return {.timeout = std::chrono::milliseconds(30000), .spin = polls_before_blocking}; }

Row ShmRow(const char* name, size_t bytes, Shared* shared, const Fd& region) {
  return {.name = name,
          .size = 2,
          .bytes = bytes,
          .bare = [=](int rank) -> std::function<void()> {
            auto own = std::make_shared<std::vector<std::byte>>(bytes);
            auto round = std::make_shared<uint64_t>(0);
            return [=] {
              ++*round;
              std::memcpy(shared->slots[rank], own->data(), bytes);
              shared->written[rank].store(*round, std::memory_order_release);
              for (int spin = 0; shared->written[1 - rank].load(std::memory_order_acquire) < *round; ++spin) {
                if (spin % 1000 == 999) sched_yield();
              }
              std::memcpy(own->data(), shared->slots[1 - rank], bytes);
              // Nobody writes again before both have read.
              ++*round;
              shared->written[rank].store(*round, std::memory_order_release);
              for (int spin = 0; shared->written[1 - rank].load(std::memory_order_acquire) < *round; ++spin) {
                if (spin % 1000 == 999) sched_yield();
              }
            };
          },
          .ours =
              [&region, bytes](int rank) {
                return AllReduceOf(ValueOrExit(OpenShmCommunicator(rank, 2, region.get(), Polling())), bytes);
              },
          .tagged = {}};
}

struct Mesh {
  explicit Mesh(int size) {
    for (int rank = 0; rank < size; ++rank) {
      listeners.push_back(ValueOrExit(TcpListener::Bind()));
      endpoints.push_back({"127.0.0.1", listeners.back().port()});
    }
  }
  std::vector<TcpListener> listeners;
  std::vector<TcpEndpoint> endpoints;
};

Row TcpRow(const char* name, size_t bytes, const std::pair<Fd, Fd>& sockets, const Mesh& plain, const Mesh& tagged) {
  const auto connect = [bytes](const Mesh& mesh, bool integrity) {
    return [&mesh, bytes, integrity](int rank) {
      return AllReduceOf(ValueOrExit(ConnectMesh(mesh.listeners[rank],
                                                 {.rank = rank,
                                                  .endpoints = mesh.endpoints,
                                                  .secret = "bench",
                                                  .deadline = std::chrono::seconds(20),
                                                  .integrity = integrity},
                                                 Polling())),
                         bytes);
    };
  };
  return {.name = name,
          .size = 2,
          .bytes = bytes,
          .bare = [&sockets, bytes](int rank) -> std::function<void()> {
            auto own = std::make_shared<std::vector<std::byte>>(bytes);
            auto other = std::make_shared<std::vector<std::byte>>(bytes);
            const int fd = rank == 0 ? sockets.first.get() : sockets.second.get();
            return [=] { BareSocketExchange(fd, fd, *own, *other); };
          },
          .ours = connect(plain, false),
          .tagged = connect(tagged, true)};
}

// The bytes of the all-reduce: what each rank sends in each step, to the same neighbours.
Row RingRow(const char* name, size_t bytes, const std::vector<std::pair<Fd, Fd>>& links, const Mesh& plain,
            const Mesh& tagged) {
  const int size = static_cast<int>(links.size());
  const auto connect = [bytes, size](const Mesh& mesh, bool integrity) {
    return [&mesh, bytes, size, integrity](int rank) {
      return AllReduceOf(ValueOrExit(ConnectRing(mesh.listeners[rank],
                                                 {.rank = rank,
                                                  .size = size,
                                                  .right = mesh.endpoints[(rank + 1) % size],
                                                  .secret = "bench",
                                                  .deadline = std::chrono::seconds(20),
                                                  .integrity = integrity},
                                                 Polling())),
                         bytes);
    };
  };
  return {.name = name,
          .size = size,
          .bytes = bytes,
          .bare = [&links, bytes, size](int rank) -> std::function<void()> {
            auto own = std::make_shared<std::vector<std::byte>>(bytes);
            auto other = std::make_shared<std::vector<std::byte>>(bytes);
            const int right = links[rank].first.get();                      // dialed
            const int left = links[(rank + size - 1) % size].second.get();  // accepted
            // Of four ranks and quarters of the data: up, down, up (a half where two partial sums travel); then all to
            // all up, down, up.
            const size_t part = bytes / static_cast<size_t>(size);
            const size_t up_last = rank % 2 == 0 ? 2 * part : part;
            const size_t from_last = rank % 2 == 0 ? part : 2 * part;
            return [=] {
              const auto shift = [&](int to, int from, size_t out, size_t in) {
                BareSocketExchange(to, from, std::span(*own).first(out), std::span(*other).first(in));
              };
              shift(right, left, part, part);
              shift(left, right, part, part);
              shift(right, left, up_last, from_last);
              shift(right, left, part, part);
              shift(left, right, part, part);
              shift(right, left, part, part);
            };
          },
          .ours = connect(plain, false),
          .tagged = connect(tagged, true)};
}

}  // namespace
}  // namespace mrs

int main(int argc, char** argv) {
  using namespace mrs;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 5;
  if (argc > 2) polls_before_blocking = std::atoi(argv[2]);
  if (argc > 3) only = argv[3];
  std::printf("medians of rounds by turns; %ld cores; load ", sysconf(_SC_NPROCESSORS_ONLN));
  double load[1] = {0};
  if (getloadavg(load, 1) == 1) std::printf("%.1f\n", load[0]);
  std::fflush(stdout);
  for (const size_t bytes : {size_t{16} << 10, size_t{1} << 20}) {
    const char* const amount = bytes > (64 << 10) ? "1 MiB" : "16 KiB";
    {
      Shared* const shared = MapShared();
      const Fd region = ValueOrExit(CreateShmRegion(2));
      Measure(ShmRow(fmt::format("2 ranks, shm, {}", amount).c_str(), bytes, shared, region), seconds);
    }
    const std::pair<Fd, Fd> sockets = SocketPair();
    const Mesh plain(2);
    const Mesh tagged(2);
    Measure(TcpRow(fmt::format("2 ranks, tcp, {}", amount).c_str(), bytes, sockets, plain, tagged), seconds);
  }
  std::vector<std::pair<Fd, Fd>> links;
  for (int rank = 0; rank < 4; ++rank) links.push_back(SocketPair());
  const Mesh plain(4);
  const Mesh tagged(4);
  Measure(RingRow("4 ranks, ring, 1 MiB", size_t{1} << 20, links, plain, tagged), seconds);
  return 0;
}
