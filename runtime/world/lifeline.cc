#include "runtime/world/lifeline.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/process.h"
#include "host/thread.h"
#include "runtime/world/rank_waits.h"
#include "runtime/world/rendezvous.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kSendWait{200};  // these messages fit any socket buffer of a line that lives
constexpr milliseconds kOwnGap{2000};   // between two looks, from which on this process stood still itself

}  // namespace

Result<std::unique_ptr<Lifelines>> Lifelines::Start(std::vector<std::unique_ptr<Channel>> channels,
                                                    LifelineCallbacks callbacks) {
  std::unique_ptr<Lifelines> lines(new Lifelines());
  lines->callbacks_ = std::move(callbacks);
  lines->wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!lines->wake_) {
    return Unavailable("no event for the nodes: {}; raise the limit on open files (ulimit -n)", strerror(errno));
  }
  for (std::unique_ptr<Channel>& channel : channels) {
    auto line = std::make_unique<Line>();
    channel->set_max_body_bytes(wire::kMaxControlBytes);
    line->channel = std::move(channel);
    line->heard = Clock::now();
    lines->lines_.push_back(std::move(line));
  }
  MRS_ASSIGN_OR_RETURN(lines->thread_,
                       StartThread(
                           "what hears the other nodes", [raw = lines.get()] { raw->Run(); },
                           [](const Error& error) { EndProcess("what hears the other nodes", error); }));
  return lines;
}

Lifelines::~Lifelines() {
  stopping_ = true;
  Signal(wake_);
  if (thread_.joinable()) thread_.join();
}

void Lifelines::Tell(size_t index, const std::string& message) {
  Line& line = *lines_[index];
  const std::lock_guard lock(line.sending);
  if (line.closed) return;
  // A message of which a part is out cannot be followed by another: the silence that comes is what it looks like.
  [[maybe_unused]] const Status sent = line.channel->Send(message, Clock::now() + kSendWait);
}

void Lifelines::TellAll(const std::string& message) {
  for (size_t index = 0; index < lines_.size(); ++index) Tell(index, message);
}

bool Lifelines::AwaitClosed(milliseconds limit) {
  const auto all_lost = [&] {
    return std::ranges::all_of(lines_, [](const auto& line) { return line->lost && (line->closed || !line->spoilt); });
  };
  const Deadline end = Clock::now() + limit;
  while (!all_lost() && Clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
  return all_lost();
}

void Lifelines::Run() {
  Deadline next_beat = Clock::now();
  Deadline last_look = Clock::now();
  while (!stopping_) {
    std::vector<pollfd> polls = {{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    for (const auto& line : lines_) {
      polls.push_back({.fd = line->closed || (line->lost && !line->spoilt) ? -1 : line->channel->fd(),
                       .events = POLLIN,
                       .revents = 0});
    }
    const auto left = std::chrono::ceil<milliseconds>(next_beat - Clock::now()).count();
    poll(polls.data(), polls.size(), static_cast<int>(std::clamp<int64_t>(left, 0, kNodeBeatEvery.count())));
    const Deadline now = Clock::now();
    const bool stood_still = now - last_look >= kOwnGap;
    last_look = now;
    for (size_t index = 0; index < lines_.size(); ++index) {
      Line& line = *lines_[index];
      if (stood_still) line.heard = now;
      if (line.spoilt && !line.closed) LookForEnd(line);
      if (!line.lost) Hear(index, now);
      if (!line.lost && now - line.heard >= kNodeSilence) {
        Lose(index, fmt::format("it has said nothing for {} s", kNodeSilence.count() / 1000), How::kSilent);
      }
    }
    if (now < next_beat) continue;
    next_beat = now + kNodeBeatEvery;
    TellAll(callbacks_.beat());
  }
}

void Lifelines::Hear(size_t index, Deadline now) {
  Line& line = *lines_[index];
  for (int turn = 0; turn < kNodeMessagesATurn && !line.lost; ++turn) {
    const Result<std::optional<Message>> message = line.channel->TryReceive();
    if (!message.ok()) {
      const bool gone = line.channel->peer_gone();
      return Lose(index, gone ? "its connection closed" : message.message(), gone ? How::kClosed : How::kSpoilt);
    }
    if (!message->has_value()) return;
    line.heard = now;
    callbacks_.on_message(index, **message);
  }
}

// What still comes is read, so that closing this end takes nothing from what the other has yet to read; no more at once
// than of others, however much comes.
void Lifelines::LookForEnd(Line& line) {
  char bytes[4096];
  for (int turn = 0; turn < kNodeMessagesATurn; ++turn) {
    const ssize_t got = recv(line.channel->fd(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got > 0) continue;
    line.closed = got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    return;
  }
}

void Lifelines::Lose(size_t index, const std::string& why, How how) {
  Line& line = *lines_[index];
  {
    const std::lock_guard lock(line.sending);
    if (line.lost.exchange(true)) return;
    line.closed = how == How::kClosed;
    line.spoilt = how == How::kSpoilt;
  }
  if (how == How::kSilent && !callbacks_.last_word.empty()) Tell(index, callbacks_.last_word);
  callbacks_.on_lost(index, why);
}

}  // namespace mrs
