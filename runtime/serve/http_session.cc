#include "runtime/serve/http_session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <ctime>
#include <utility>
#include <vector>

#include "runtime/serve/http_head.h"

namespace mrs::serve {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint32_t kMaxHeadBytes = 32 * 1024;
constexpr size_t kMaxRequestLineBytes = 16 * 1024;
constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kMaxUnparsedBytes = 256 * 1024;  // one endless chunk extension, or trailers
constexpr size_t kMaxExtensionBytes = 16 * 1024;  // of all chunks of a body

template <typename View>
std::string ToString(View view) {
  return std::string(view.data(), view.size());
}

ApiError HttpError(int status, std::string message, std::string code) {
  return {.status = status, .message = std::move(message), .param = "", .code = std::move(code)};
}

std::vector<HttpField> FieldsOf(const http::request<GrowingBody>& message) {
  std::vector<HttpField> fields;
  for (const auto& field : message) {
    fields.push_back(
        {{field.name_string().data(), field.name_string().size()}, {field.value().data(), field.value().size()}});
  }
  return fields;
}

bool HasBareLf(const boost::beast::flat_buffer& buffer) {
  const std::string_view bytes(static_cast<const char*>(buffer.cdata().data()), buffer.size());
  for (size_t at = bytes.find('\n'); at != bytes.npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return true;
  }
  return false;
}

// Whether the other end has reset the connection.
bool IsReset(int socket) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state == TCP_CLOSE;
}

}  // namespace

HttpSession::HttpSession(const std::shared_ptr<ServerState>& state, asio::ip::tcp::socket socket)
    : weak_state_(state),
      state_(*state),
      socket_(std::move(socket)),
      read_deadline_(state->io),
      write_deadline_(state->io),
      next_probe_(state->io),
      next_keep_alive_(state->io),
      body_hold_(&state->bodies),
      backlog_hold_(&state->backlogs) {
  on_chunk_ = [this](uint64_t, boost::beast::string_view extension, error_code& error) {
    extension_bytes_ += extension.size();
    error = extension_bytes_ > kMaxExtensionBytes ? error_code(http::error::header_limit) : error_code();
  };
}

void HttpSession::Start() {
  OrClose([this] {
    silent_ = state_.silent.insert(state_.silent.end(), this);
    SetReadDeadline(state_.options.header_timeout);
    Read();
  });
}

void HttpSession::Enter(Phase phase) {
  phase_ = phase;
  since_ = std::chrono::steady_clock::now();
}

void HttpSession::EndSilence() {
  if (silent_.has_value()) state_.silent.erase(*silent_);
  silent_.reset();
}

Seat HttpSession::seat() const {
  const auto use = [this] {
    switch (phase_) {
      case Phase::kIdle:
      case Phase::kLinger:
      case Phase::kClosed:
        return silent_.has_value() ? SeatUse::kSilent : SeatUse::kAnswered;
      case Phase::kReading:
        return parser_.has_value() && parser_->is_header_done() ? SeatUse::kSending : SeatUse::kAsking;
      case Phase::kBusy:
        break;
    }
    return reply_complete_ || whole_ != nullptr ? SeatUse::kTaking : SeatUse::kBusy;
  };
  return {.use = use(), .since = since_};
}

void HttpSession::Drain() {
  if (phase_ != Phase::kBusy) return Close();
  if (translation_ == nullptr) return;
  translation_->GiveUp();
  Refuse(HttpError(503, "the server is shutting down", "shutting_down"));
}

void HttpSession::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  EndSilence();
  if (translation_ != nullptr) translation_->GiveUp();
  translation_.reset();
  if (call_ != nullptr) call_->Cancel();
  call_.reset();
  DropWhole();
  DropBody();
  error_code ignored;
  read_deadline_.cancel(ignored);
  write_deadline_.cancel(ignored);
  next_probe_.cancel(ignored);
  next_keep_alive_.cancel(ignored);
  socket_.close(ignored);
  ForgetSession(state_, shared_from_this());
}

void HttpSession::SetReadDeadline(Milliseconds after) {
  read_deadline_.expires_after(after);
  read_deadline_.async_wait([self = shared_from_this()](error_code error) {
    if (error || self->read_deadline_.expiry() > std::chrono::steady_clock::now()) return;
    self->OrClose([&] { self->OnReadDeadline(); });
  });
}

void HttpSession::OnReadDeadline() {
  if (phase_ == Phase::kReading) {
    return Refuse(HttpError(408, "the request did not arrive in time; send it faster", "request_timeout"));
  }
  if (phase_ == Phase::kIdle || phase_ == Phase::kLinger) Close();
}

void HttpSession::Read() {
  if (reading_ || client_ended_ || phase_ == Phase::kClosed) return;
  // Then a lost client shows when the answer is written.
  if (phase_ == Phase::kBusy && buffer_.size() >= state_.options.max_read_ahead_bytes) return;
  reading_ = true;
  if (phase_ == Phase::kLinger || (phase_ == Phase::kReading && body_hold_.bytes() > 0)) {
    return socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
      self->OrClose([&] { self->OnReadable(error); });
    });
  }
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](error_code error, size_t byte_count) {
                            self->OrClose([&] { self->OnRead(error, byte_count); });
                          });
}

// Much is to come, and from many clients at once, perhaps: each takes its turn, so that all the others do not wait for
// all of it.
void HttpSession::OnReadable(error_code error) {
  if (error) return OnRead(error, 0);
  if (phase_ == Phase::kClosed) return;
  state_.bulk_reads.push_back(shared_from_this());
  PostBulkRead(state_);
}

void HttpSession::ReadNow() {
  OrClose([this] {
    if (phase_ == Phase::kClosed) return;
    error_code error;
    socket_.non_blocking(true, error);
    const size_t byte_count = error ? 0 : socket_.read_some(buffer_.prepare(kReadBytes), error);
    if (error != asio::error::would_block) return OnRead(error, byte_count);
    reading_ = false;
    Read();
  });
}

void HttpSession::OnRead(error_code error, size_t byte_count) {
  reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error) {
    if (error != asio::error::eof) return Close();
    client_ended_ = true;
    return OnClientEnd();
  }
  buffer_.commit(byte_count);
  Parse();
  Read();
}

// The client sends no more. What it sent whole is answered; whether it still listens, AwaitReset hears.
void HttpSession::OnClientEnd() {
  if (phase_ == Phase::kReading) {
    Refuse(HttpError(400, "the request ended before all of it was sent; is its Content-Length right?", "bad_http"));
  } else if (phase_ != Phase::kBusy) {
    return Close();
  }
  AwaitReset();
  if (call_ != nullptr && !reply_complete_) Probe();
  // What takes a while to translate is not translated for a client that has gone: an interim answer shows it.
  if (translation_ != nullptr && translation_->body_bytes() > state_.options.free_bytes && chunked_) Send(kContinue);
}

void HttpSession::AwaitReset() {
  socket_.async_wait(asio::ip::tcp::socket::wait_error, [weak = weak_from_this()](error_code error) {
    const std::shared_ptr<HttpSession> self = weak.lock();
    if (error || self == nullptr || self->phase_ == Phase::kClosed) return;
    if (IsReset(self->socket_.native_handle())) return self->Close();
    self->OrClose([&] { self->AwaitReset(); });
  });
}

bool HttpSession::JudgedRequestLine() {
  if (judged_line_) return true;
  char* const bytes = static_cast<char*>(buffer_.data().data());
  const RequestLine line = JudgeRequestLine({bytes, buffer_.size()}, kMaxRequestLineBytes);
  if (line.fault.has_value()) {
    Refuse(*line.fault);
    return false;
  }
  if (line.minor_digit.has_value()) bytes[*line.minor_digit] = '1';
  return judged_line_ = line.complete;
}

void HttpSession::Parse() {
  if (phase_ == Phase::kLinger) {
    lingered_bytes_ += buffer_.size();
    buffer_.consume(buffer_.size());
    if (lingered_bytes_ > state_.options.max_linger_bytes) Close();
    return;
  }
  // Empty lines before a request: some old clients end a body so (RFC 9112, 2.2).
  const auto starts_with = [this](std::string_view text) {
    return std::string_view(static_cast<const char*>(buffer_.cdata().data()), buffer_.size()).starts_with(text);
  };
  while (phase_ == Phase::kIdle && starts_with("\r\n")) buffer_.consume(2);
  if (phase_ == Phase::kIdle && buffer_.size() > (starts_with("\r") ? 1 : 0)) {
    Enter(Phase::kReading);
    EndSilence();
    parser_.emplace();
    parser_->header_limit(kMaxHeadBytes);
    parser_->body_limit(kMaxBodyBytes);
    parser_->on_chunk_header(on_chunk_);
    judged_line_ = head_only_ = false;
    extension_bytes_ = 0;
    SetReadDeadline(state_.options.header_timeout);
  }
  while (phase_ == Phase::kReading && buffer_.size() > 0) {
    if (!JudgedRequestLine()) return;
    const bool had_head = parser_->is_header_done();
    error_code error;
    const size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    if (error && error != http::error::need_more) return OnParseError(error);
    if (!had_head && parser_->is_header_done()) OnHead();
    if (phase_ != Phase::kReading || !HoldBody()) return;
    if (parser_->is_done()) return OnMessage();
    if (used == 0 || error) {
      // In chunks and trailers the parser looks for CR LF only, and would wait for it.
      if (error && parser_->is_header_done() && HasBareLf(buffer_)) return OnParseError(http::error::bad_line_ending);
      break;
    }
  }
  if (phase_ == Phase::kReading && buffer_.size() > kMaxUnparsedBytes) OnParseError(http::error::header_limit);
}

void HttpSession::DropBody() {
  parser_.reset();
  NoteFreed(state_, body_hold_.bytes());
  body_hold_.Clear();
}

bool HttpSession::HoldBody() {
  const size_t bytes = parser_->get().body().capacity();
  if (body_hold_.Resize(bytes > state_.options.free_bytes ? bytes - state_.options.free_bytes : 0)) return true;
  Refuse(HttpError(503,
                   fmt::format("the bodies of all requests have {} bytes, as many as are held at once; try again",
                               state_.bodies.held()),
                   "overloaded"));
  return false;
}

void HttpSession::OnParseError(error_code error) {
  if (error == boost::system::errc::not_enough_memory) return Refuse(OutOfMemory());
  if (error == http::error::body_limit) {
    return Refuse(HttpError(413, fmt::format("the request body has more than {} bytes; send less", kMaxBodyBytes),
                            "body_too_large"));
  }
  if (error == http::error::header_limit && parser_->is_header_done()) {
    return Refuse(HttpError(431, "the body's chunk extensions or trailers are too large; send less of them",
                            "headers_too_large"));
  }
  if (error == http::error::header_limit) {
    return Refuse(HttpError(431,
                            fmt::format("the request's head has more than {} bytes; send fewer headers", kMaxHeadBytes),
                            "headers_too_large"));
  }
  Refuse(HttpError(400, fmt::format("malformed HTTP request: {}", error.message()), "bad_http"));
}

// The head is here: refuse before the body comes, or ask for it.
void HttpSession::OnHead() {
  const auto& message = parser_->get();
  head_only_ = message.method() == http::verb::head;
  chunked_ = message.version() >= 11;
  const std::vector<HttpField> fields = FieldsOf(message);
  const HeadFacts facts = JudgeFields(message.version(), fields);
  if (facts.fault.has_value()) return Refuse(*facts.fault);
  keep_alive_ = facts.keep_alive && !state_.stopping && !state_.draining;
  routed_ = Route({.method = ToString(message.method_string()),
                   .target = ToString(message.target()),
                   .host = FieldValue(fields, "Host"),
                   .content_type = FieldValue(fields, "Content-Type"),
                   .content_encoding = FieldValue(fields, "Content-Encoding"),
                   .if_match = FieldValue(fields, "If-Match"),
                   .if_none_match = FieldValue(fields, "If-None-Match")});
  if (routed_.error.has_value()) {
    if (!parser_->is_done()) return Refuse(*routed_.error);
    return;  // OnMessage
  }
  if (parser_->is_done()) return;
  if (facts.expects_continue) Send(kContinue);
  SetReadDeadline(state_.options.body_timeout);
}

void HttpSession::OnMessage() {
  Enter(Phase::kBusy);
  error_code ignored;
  read_deadline_.cancel(ignored);
  if (routed_.error.has_value()) {
    HttpReply reply = ErrorReply(*routed_.error);
    reply.fields += routed_.fields;
    return Reply(reply);
  }
  if (routed_.endpoint == Endpoint::kChat || routed_.endpoint == Endpoint::kCompletions) {
    if (state_.draining) {
      return Refuse(HttpError(503, "the server is shutting down: it ends what it has begun and takes nothing new",
                              "shutting_down"));
    }
    return Translate(routed_.endpoint == Endpoint::kChat);
  }
  AnswerAtOnce();
}

void HttpSession::NextRequest() {
  Enter(Phase::kIdle);
  reply_complete_ = false;
  streaming_ = false;
  parser_.reset();
  routed_ = {};
  SetReadDeadline(state_.options.idle_timeout);
  Parse();
  if (client_ended_ && (phase_ == Phase::kIdle || phase_ == Phase::kReading)) return OnClientEnd();
  Read();
}

void HttpSession::Refuse(const ApiError& error) {
  Enter(Phase::kBusy);
  keep_alive_ = false;
  DropBody();
  error_code ignored;
  read_deadline_.cancel(ignored);
  HttpReply reply = ErrorReply(error);
  reply.fields += routed_.fields;
  Reply(reply);
}

void HttpSession::Reply(const HttpReply& reply) {
  translation_.reset();
  call_.reset();
  reply_complete_ = true;
  since_ = std::chrono::steady_clock::now();
  Send(WriteReply(reply, {.keep_alive = keep_alive_, .head_only = head_only_, .date = HttpDate(std::time(nullptr))}));
}

void HttpSession::Send(std::string_view bytes) {
  if (phase_ == Phase::kClosed) return;
  outgoing_ += bytes;
  if (writing_.empty()) Write();
}

// Takes what waits; each bit of progress moves the deadline.
void HttpSession::Write() {
  if (written_ == writing_.size()) {
    writing_.clear();
    written_ = 0;
    std::swap(writing_, outgoing_);
  }
  write_deadline_.expires_after(state_.options.write_timeout);
  write_deadline_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->write_deadline_.expiry() <= std::chrono::steady_clock::now()) self->Close();
  });
  socket_.async_write_some(asio::buffer(writing_.data() + written_, writing_.size() - written_),
                           [self = shared_from_this()](error_code error, size_t byte_count) {
                             self->OrClose([&] { self->OnWritten(error, byte_count); });
                           });
}

void HttpSession::OnWritten(error_code error, size_t byte_count) {
  if (phase_ == Phase::kClosed) return;
  if (error) return Close();
  written_ += byte_count;
  if (written_ < writing_.size() || !outgoing_.empty()) return Write();
  if (writing_.capacity() > state_.options.free_bytes) std::string().swap(writing_);
  writing_.clear();
  written_ = 0;
  backlog_hold_.Clear();
  if (whole_ != nullptr) return WritePiece(whole_->Next(kPieceBytes));
  error_code ignored;
  write_deadline_.cancel(ignored);
  if (!reply_complete_) return;
  if (client_ended_ && (!keep_alive_ || buffer_.size() == 0)) return Close();
  if (!keep_alive_ || state_.stopping || state_.draining) return Linger();
  if (state_.client_waits && buffer_.size() == 0) return Close();  // it has read nothing that it must answer
  NextRequest();
}

// Closing with unread bytes would reset the connection, and the client might lose the answer.
void HttpSession::Linger() {
  if (client_ended_) return Close();  // there is nothing that it could still send
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error || state_.stopping) return Close();
  Enter(Phase::kLinger);
  SetReadDeadline(state_.options.linger_timeout);
  Parse();
  Read();
}

}  // namespace mrs::serve
