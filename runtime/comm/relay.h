// A Relay passes on, on a thread of its own, what ranks say to each other through this one.
//
//   std::vector<Relay::Way> ways;                     // rank 1 of a ring: 0 to 2, both ends connected
//   ways.push_back({std::move(from_left), std::move(to_right)});
//   std::unique_ptr<Relay> relay = *Relay::Start(std::move(ways));
//
// The rank itself may compute, wait or be idle meanwhile. Each way has sockets of its own, so each is as slow as its
// reader and none stops another; what a relay holds is at most 64 KiB for each direction. It sleeps while nothing
// comes. The end of one side goes on to the other; whoever talks through a relay that ends sees its connection end.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"

namespace mrs {

class Relay {
 public:
  struct Way {
    Fd a;
    Fd b;
  };

  static Result<std::unique_ptr<Relay>> Start(std::vector<Way> ways);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

 private:
  Relay(std::vector<Way> ways, Fd stop) : ways_(std::move(ways)), stop_(std::move(stop)) {}
  void Run();

  std::vector<Way> ways_;
  Fd stop_;  // an eventfd
  std::thread thread_;
};

}  // namespace mrs
