// The logs of the other nodes, at the head: each line with who said it, as soon as whoever reads the head's log takes
// it.
//
//   lines->Add(1, log);     // never waits
//   // [node 1 b, rank 2] mrs-exec: a notice
//
// A thread of its own says them, so that a log that nobody reads keeps no beat waiting. A node that says more than
// log_lines.h lets it, whatever it is, is cut here, too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "plans/cluster_nodes.h"
#include "plans/status.h"
#include "runtime/world/log_lines.h"

namespace mrs {

// The lines that a log of this node gives: "[node 1 b] a notice\n", "[node 1 b, rank 2] ...", and at the end
// "[node 1 b] 17 lines more, which are in its own log\n".
std::vector<std::string> TextOf(const std::vector<PlanNode>& nodes, uint32_t node, const wire::Log& log);

class NodeLines {
 public:
  static Result<std::unique_ptr<NodeLines>> Start(std::vector<PlanNode> nodes);
  ~NodeLines();  // says what is left, for a second at most

  void Add(uint32_t node, wire::Log log);

 private:
  explicit NodeLines(std::vector<PlanNode> nodes) : nodes_(std::move(nodes)), budgets_(nodes_.size()) {}
  void Run();

  static constexpr size_t kMaxWaiting = 1000;
  const std::vector<PlanNode> nodes_;
  std::vector<LogBudget> budgets_;  // [node]
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mrs
