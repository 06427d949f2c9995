#include "runtime/comm/conformance_worlds.h"

#include <sys/wait.h>

#include <thread>

#include "runtime/comm/mixed.h"
#include "runtime/comm/region.h"
#include "runtime/comm/ring.h"
#include "runtime/comm/tcp.h"

namespace mrs {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kShmRanksAreProcesses = false;
#else
constexpr bool kShmRanksAreProcesses = true;
#endif

using Body = std::function<std::string(Rank&)>;
// Makes the communicator of one rank, on the thread or process of that rank.
using Opener = std::function<Result<std::unique_ptr<Communicator>>(int rank)>;

std::string RunRank(int index, const Opener& open, bool leaves_trace, const Body& body, Rank& rank) {
  Result<std::unique_ptr<Communicator>> comm = open(index);
  if (!comm) return "cannot open: " + comm.message();
  rank.comm = *std::move(comm);
  rank.leaves_trace = leaves_trace;
  return body(rank);
}

std::vector<std::string> RunThreads(int size, const Opener& open, bool leaves_trace, const Body& body) {
  std::vector<std::string> complaints(size);
  std::vector<Rank> ranks(size);
  std::vector<std::thread> threads;
  for (int index = 0; index < size; ++index) {
    threads.emplace_back([&, index] { complaints[index] = RunRank(index, open, leaves_trace, body, ranks[index]); });
  }
  for (std::thread& thread : threads) thread.join();
  return complaints;
}

std::vector<std::string> RunProcesses(int size, const Opener& open, const Body& body) {
  std::vector<std::string> complaints(size);
  std::vector<Fd> pipes;
  std::vector<pid_t> children;
  for (int index = 0; index < size; ++index) {
    int ends[2];
    if (pipe(ends) != 0) return std::vector<std::string>(size, "no pipe");
    const pid_t child = fork();
    if (child == 0) {
      Rank rank;
      const std::string complaint = RunRank(index, open, /*leaves_trace=*/false, body, rank);
      const bool written = write(ends[1], complaint.data(), complaint.size()) == static_cast<ssize_t>(complaint.size());
      _exit(written ? 0 : 1);  // closes nothing in the region
    }
    close(ends[1]);
    pipes.emplace_back(ends[0]);
    children.push_back(child);
  }
  for (int index = 0; index < size; ++index) {
    char buffer[4096];
    for (ssize_t bytes; (bytes = read(pipes[index].get(), buffer, sizeof(buffer))) > 0;) {
      complaints[index].append(buffer, static_cast<size_t>(bytes));
    }
    int status = 0;
    if (waitpid(children[index], &status, 0) < 0 || status != 0) {
      complaints[index] += " [process ended with status " + std::to_string(status) + "]";
    }
  }
  return complaints;
}

int HostOf(int rank) { return rank % 3 == 0 ? 0 : 1; }

}  // namespace

std::vector<std::string> RunWorld(const WorldConfig& config, const Body& body) {
  const auto all = [&](const std::string& complaint) { return std::vector<std::string>(config.size, complaint); };
  if (config.transport == "local") {
    auto world = MakeLocalCommunicators(config.size, config.options, config.ring_bytes);
    if (!world) return all(world.message());
    const Opener open = [&](int rank) -> Result<std::unique_ptr<Communicator>> { return std::move((*world)[rank]); };
    return RunThreads(config.size, open, true, body);
  }
  if (config.transport == "shm") {
    const Result<Fd> region = CreateShmRegion(config.size, config.ring_bytes);
    if (!region) return all(region.message());
    const Opener open = [&](int rank) { return OpenShmCommunicator(rank, config.size, region->get(), config.options); };
    return kShmRanksAreProcesses ? RunProcesses(config.size, open, body) : RunThreads(config.size, open, false, body);
  }
  const bool tagged = config.transport.ends_with("_tagged");
  const int streams = config.transport.find("_streams") == std::string::npos ? 1 : 3;
  const std::string transport = config.transport.substr(0, config.transport.find('_'));
  std::vector<TcpListener> listeners;
  std::vector<TcpEndpoint> endpoints;
  for (int rank = 0; rank < config.size; ++rank) {
    Result<TcpListener> listener = TcpListener::Bind();
    if (!listener) return all(listener.message());
    endpoints.push_back({"127.0.0.1", listener->port()});
    listeners.push_back(*std::move(listener));
  }
  const auto mesh = [&](int rank) -> MeshConfig {
    return {.rank = rank,
            .endpoints = endpoints,
            .secret = "one for all",
            .deadline = std::chrono::seconds(20),
            .integrity = tagged,
            .streams = streams};
  };
  if (transport == "mixed") {
    // Two hosts whose ranks alternate unevenly: the first has 0, 3, 6, the second 1, 2, 4, 5, 7.
    std::vector<int> members[2];
    HostLinks links[2];
    for (int rank = 0; rank < config.size; ++rank) members[HostOf(rank)].push_back(rank);
    for (int host = 0; host < 2; ++host) {
      if (members[host].empty()) continue;
      Result<HostLinks> made = CreateHostLinks(static_cast<int>(members[host].size()), config.ring_bytes);
      if (!made) return all(made.message());
      links[host] = *std::move(made);
    }
    const Opener open = [&](int rank) {
      const int host = HostOf(rank);
      return ConnectMixed(&listeners[rank],
                          {.mesh = mesh(rank),
                           .local = members[host],
                           .region_fd = links[host].region.get(),
                           .bell_fd = links[host].bell.get()},
                          config.options);
    };
    return RunThreads(config.size, open, true, body);
  }
  if (transport == "ring" && config.size > 1) {
    const Opener open = [&](int rank) {
      return ConnectRing(listeners[rank],
                         {.rank = rank,
                          .size = config.size,
                          .right = endpoints[(rank + 1) % config.size],
                          .secret = "one for all",
                          .deadline = std::chrono::seconds(20),
                          .integrity = tagged},
                         config.options);
    };
    return RunThreads(config.size, open, true, body);
  }
  const Opener open = [&](int rank) { return ConnectMesh(listeners[rank], mesh(rank), config.options); };
  return RunThreads(config.size, open, true, body);
}

}  // namespace mrs
