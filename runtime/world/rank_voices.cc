#include "runtime/world/rank_voices.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/output.h"
#include "host/process.h"
#include "host/thread.h"
#include "runtime/world/rank_waits.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxAtOnce = 64 << 10;  // of one rank, until the others are looked at again

}  // namespace

Result<std::unique_ptr<RankVoices>> RankVoices::Start(const std::vector<uint32_t>& ranks) {
  std::unique_ptr<RankVoices> voices(new RankVoices());
  voices->wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  bool made = static_cast<bool>(voices->wake_);
  for (const uint32_t rank : ranks) {
    int ends[2];
    if (!made || pipe2(ends, O_CLOEXEC) != 0) {
      made = false;
      break;
    }
    Voice& voice = voices->voices_.emplace_back();
    voice.rank = rank;
    voice.read_end = Fd(ends[0]);
    voice.write_end = Fd(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);  // of the reading end alone: a rank writes as it always does
  }
  if (!made) {
    return Unavailable("no pipe for what the ranks say: {}; raise the limit on open files (ulimit -n)",
                       strerror(errno));
  }
  MRS_ASSIGN_OR_RETURN(voices->thread_,
                       StartThread(
                           "what passes on the ranks' words", [raw = voices.get()] { raw->Run(); },
                           [](const Error& error) { EndProcess("what passes on the ranks' words", error); }));
  return voices;
}

RankVoices::~RankVoices() {
  stopping_ = true;
  Signal(wake_);
  if (thread_.joinable()) thread_.join();
}

int RankVoices::StandardErrorOf(uint32_t rank) const {
  const auto found = std::ranges::find(voices_, rank, &Voice::rank);
  return found == voices_.end() ? -1 : found->write_end.get();
}

void RankVoices::Started() {
  for (Voice& voice : voices_) voice.write_end = Fd();
}

void RankVoices::Say(std::string_view text) {
  LineSplitter splitter;
  std::vector<std::string> lines = splitter.Add(text);
  for (std::string& rest : splitter.End()) lines.push_back(std::move(rest));
  const std::lock_guard lock(mutex_);
  for (std::string& line : lines) lines_.Add({.rank = std::nullopt, .text = std::move(line)}, Clock::now());
}

std::string RankVoices::TakeMessage() {
  Collect();
  const std::lock_guard lock(mutex_);
  return lines_.empty() ? "" : wire::Encode(lines_.Take());
}

void RankVoices::Run() {
  while (!stopping_) {
    std::vector<pollfd> polls = {{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    {
      const std::lock_guard lock(mutex_);
      for (const Voice& voice : voices_) polls.push_back({.fd = voice.read_end.get(), .events = POLLIN, .revents = 0});
    }
    poll(polls.data(), polls.size(), static_cast<int>(kLookAgain.count()));
    Collect();
  }
}

void RankVoices::Collect() {
  std::string all;  // whole lines, as they were written
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    for (Voice& voice : voices_) {
      for (size_t total = 0; voice.read_end && total < kMaxAtOnce;) {
        char bytes[4096];
        const ssize_t got = read(voice.read_end.get(), bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) break;
        std::vector<std::string> lines;
        if (got > 0) {
          total += static_cast<size_t>(got);
          lines = voice.splitter.Add({bytes, static_cast<size_t>(got)});
        } else {
          lines = voice.splitter.End();
          voice.read_end = Fd();
        }
        for (std::string& line : lines) {
          all += line;
          all += '\n';
          lines_.Add({.rank = voice.rank, .text = std::move(line)}, now);
        }
      }
    }
  }
  if (!all.empty()) PassOn(all);
}

}  // namespace mrs
