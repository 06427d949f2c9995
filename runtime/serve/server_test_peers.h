// For tests: an engine whose events the test writes, and a client that sees every byte.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "runtime/comm/fd.h"
#include "runtime/engine/served_model.h"

namespace mrs::serve {

constexpr std::chrono::seconds kPatience{
    60};  // a bound for what should take milliseconds, even under tsan on a busy host

class ScriptedEngine {
 public:
  EngineHandle Handle(const ServedModel& model) {
    return {.model = model,
            .submit = [this](Request request, EventHandler handler) -> Result<RequestId> {
              const std::lock_guard lock(mutex_);
              if (!refusal.message.empty()) return refusal;
              if (answers_at_once) handler({.token = std::nullopt, .finish = FinishEvent()});
              requests_.emplace(++last_id_, std::make_pair(std::move(request), std::move(handler)));
              changed_.notify_all();
              return last_id_;
            },
            .cancel =
                [this](RequestId id) {
                  const std::lock_guard lock(mutex_);
                  cancelled_.insert(id);
                  changed_.notify_all();
                },
            .state = [this] { return state.load(); }};
  }

  Request AwaitRequest(RequestId id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return requests_.count(id) > 0; }));
    return requests_.count(id) > 0 ? requests_[id].first : Request();
  }
  bool AwaitCancel(RequestId id) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return cancelled_.count(id) > 0; });
  }
  RequestId last_id() {
    const std::lock_guard lock(mutex_);
    return last_id_;
  }
  bool Cancelled(RequestId id) {
    const std::lock_guard lock(mutex_);
    return cancelled_.count(id) > 0;
  }
  void Token(RequestId id, const std::string& text) {
    Emit(id, {.token = TokenEvent{.token = {5, -0.5f}, .top = {}, .text = text}, .finish = std::nullopt});
  }
  void Finish(RequestId id, FinishReason reason, const std::string& error = "") {
    FinishEvent finish;
    finish.reason = reason;
    finish.error = error;
    finish.prompt_tokens = 2;
    finish.completion_tokens = 1;
    Emit(id, {.token = std::nullopt, .finish = finish});
  }
  void Emit(RequestId id, const Event& event) {
    AwaitRequest(id);
    EventHandler handler;
    {
      const std::lock_guard lock(mutex_);
      handler = requests_[id].second;
    }
    handler(event);
  }

  std::atomic<EngineState> state{EngineState::kReady};
  Error refusal;                             // set before the request; "": accepts
  std::atomic<bool> answers_at_once{false};  // with nothing

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  RequestId last_id_ = 0;
  std::map<RequestId, std::pair<Request, EventHandler>> requests_;
  std::set<RequestId> cancelled_;
};

struct Answer {
  int status = 0;
  std::string head;
  std::string body;
};

class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    connected_ = connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }

  bool connected() const { return connected_; }
  void Send(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t sent = send(fd_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;  // what the server says shows it
      at += static_cast<size_t>(sent);
    }
  }
  void Post(const std::string& path, const std::string& body) {
    Send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  void Get(const std::string& path) { Send("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n"); }

  // Everything up to and with `end`; the rest stays.
  std::string ReadUntil(const std::string& end) {
    while (seen_.find(end) == std::string::npos && More()) {
    }
    return Take(
        std::min(seen_.size(), seen_.find(end) == std::string::npos ? seen_.size() : seen_.find(end) + end.size()));
  }
  Answer ReadAnswer(bool has_body = true) {
    Answer answer;
    answer.head = ReadUntil("\r\n\r\n");
    if (answer.head.size() < 12) return answer;
    answer.status = std::atoi(answer.head.c_str() + 9);
    const size_t length = answer.head.find("Content-Length: ");
    if (length == std::string::npos || !has_body) return answer;
    const size_t body_bytes = static_cast<size_t>(std::atoll(answer.head.c_str() + length + 16));
    while (seen_.size() < body_bytes && More()) {
    }
    answer.body = Take(std::min(seen_.size(), body_bytes));
    return answer;
  }
  // Whether the server has ended the connection, and nothing was left to read. False where it says nothing, too.
  bool AtEnd() { return seen_.empty() && !More() && ended_; }
  // All of it, unless the server ends the connection or takes nothing for so long.
  bool SendWithin(const std::string& bytes, std::chrono::milliseconds patience) {
    for (size_t at = 0; at < bytes.size();) {
      pollfd waits{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
      if (poll(&waits, 1, static_cast<int>(patience.count())) != 1) return false;
      const ssize_t sent = send(fd_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent <= 0) return false;
      at += static_cast<size_t>(sent);
    }
    return true;
  }
  // The body of a chunked answer, whose head has been read.
  std::string ReadChunks() {
    std::string body;
    for (;;) {
      const size_t bytes = std::strtoull(ReadUntil("\r\n").c_str(), nullptr, 16);
      while (seen_.size() < bytes + 2 && More()) {
      }
      if (bytes == 0 || seen_.size() < bytes + 2) return Take(std::min<size_t>(seen_.size(), 2)), body;
      body += Take(bytes);
      Take(2);
    }
  }
  std::string ReadLongAnswer() {
    ReadUntil("\r\n\r\n");
    return ReadChunks();
  }
  void HalfClose() { shutdown(fd_.get(), SHUT_WR); }
  // Leaves so that the server hears of it at once, whatever it does: what is said to it is not wanted.
  void Reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    fd_ = Fd();
  }

 private:
  bool More() {
    char bytes[65536];
    const ssize_t got = recv(fd_.get(), bytes, sizeof(bytes), 0);
    if (got > 0) seen_.append(bytes, static_cast<size_t>(got));
    ended_ = got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    return got > 0;
  }
  std::string Take(size_t count) {
    std::string taken = seen_.substr(0, count);
    seen_.erase(0, count);
    return taken;
  }

  Fd fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string seen_;
};

}  // namespace mrs::serve
