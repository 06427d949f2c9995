#include "runtime/world/node_lines.h"

#include <fmt/format.h>

#include <utility>

#include "host/output.h"
#include "host/process.h"
#include "host/thread.h"
#include "plans/printable.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLastWords{1};

}  // namespace

std::vector<std::string> TextOf(const std::vector<PlanNode>& nodes, uint32_t node, const wire::Log& log) {
  const std::string& name = nodes.at(node).name;
  const std::string who = fmt::format("node {}{}{}", node, name.empty() ? "" : " ", Printable(name));
  std::vector<std::string> texts;
  for (const wire::LogLine& line : log.lines) {
    const std::string rank = line.rank.has_value() ? fmt::format(", rank {}", *line.rank) : "";
    texts.push_back(fmt::format("[{}{}] {}\n", who, rank, Printable(line.text)));
  }
  if (log.dropped > 0) {
    texts.push_back(fmt::format("[{}] {} line{} more, which {} in its own log\n", who, log.dropped,
                                log.dropped == 1 ? "" : "s", log.dropped == 1 ? "is" : "are"));
  }
  return texts;
}

Result<std::unique_ptr<NodeLines>> NodeLines::Start(std::vector<PlanNode> nodes) {
  std::unique_ptr<NodeLines> lines(new NodeLines(std::move(nodes)));
  MRS_ASSIGN_OR_RETURN(lines->thread_,
                       StartThread(
                           "what says the nodes' lines", [raw = lines.get()] { raw->Run(); },
                           [](const Error& error) { EndProcess("what says the nodes' lines", error); }));
  return lines;
}

NodeLines::~NodeLines() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void NodeLines::Add(uint32_t node, wire::Log log) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  std::vector<wire::LogLine> kept;
  for (wire::LogLine& line : log.lines) {
    if (budgets_.at(node).Take(line.text.size(), now)) {
      kept.push_back(std::move(line));
    } else {
      ++log.dropped;
    }
  }
  log.lines = std::move(kept);
  for (std::string& text : TextOf(nodes_, node, log)) {
    if (waiting_.size() < kMaxWaiting) waiting_.push_back(std::move(text));
  }
  changed_.notify_all();
}

void NodeLines::Run() {
  std::unique_lock lock(mutex_);
  Clock::time_point end = Clock::time_point::max();
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_ && end == Clock::time_point::max()) end = Clock::now() + kLastWords;
    if (waiting_.empty() || Clock::now() >= end) return;
    const std::string text = std::exchange(waiting_.front(), {});
    waiting_.pop_front();
    lock.unlock();
    SayText(text);
    lock.lock();
  }
}

}  // namespace mrs
