// One connection: reads a request, answers it, and goes on to the next. It reads all the while, so that a client that
// goes away is noticed, and its request cancelled, even when nothing is being written.
//
// A client may shut its sending half and listen on; what it sent is answered. One that is gone looks the same until it
// is written to: so the answer's head goes out at once, and then something that means nothing, a space or a comment,
// every `probe_interval`. Where nobody listens any more, its system answers with a reset.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "host/output.h"
#include "host/process.h"
#include "runtime/serve/active_call.h"
#include "runtime/serve/http_body.h"
#include "runtime/serve/http_reply.h"
#include "runtime/serve/http_route.h"
#include "runtime/serve/seats.h"
#include "runtime/serve/server_state.h"
#include "runtime/serve/translation.h"

namespace mrs::serve {

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(const std::shared_ptr<ServerState>& state, boost::asio::ip::tcp::socket socket);

  void Start();
  void Drain();       // the server stops: ends at once unless a response is under way
  void Close();       // cancels what runs
  bool busy() const { return phase_ == Phase::kBusy; }
  Seat seat() const;  // what it does, and since when
  void ReadNow();     // its turn of bulk_reads

 private:
  enum class Phase {
    kIdle,     // between requests
    kReading,  // some of a request is here
    kBusy,     // a request is being answered; what comes in waits in the buffer
    kLinger,   // answered and said goodbye; what comes in is thrown away, so that the client can read the answer
    kClosed,
  };
  using Parser = boost::beast::http::request_parser<GrowingBody>;
  using Milliseconds = std::chrono::milliseconds;
  static constexpr size_t kPieceBytes = 16 << 10;  // of a long response, made at a time: well under a millisecond

  // A step of this connection. One that finds no memory closes it: no answer goes on with a hole in it.
  template <typename Step>
  void OrClose(Step step) {
    const Status done = Guarded(step);
    if (done.ok()) return;
    Say("mrs-exec: HTTP: a connection ends: {}\n", done.message());
    Close();
  }

  // Incoming.
  void Read();
  void OnReadable(boost::system::error_code error);
  void OnRead(boost::system::error_code error, size_t byte_count);
  void Parse();
  void OnHead();
  void OnMessage();
  void OnParseError(boost::system::error_code error);
  void DropBody();
  bool HoldBody();  // false, and refused: all bodies together are too large
  void SetReadDeadline(Milliseconds after);
  void OnReadDeadline();
  void NextRequest();
  bool JudgedRequestLine();  // false: more must come first, or it was refused
  void OnClientEnd();
  void AwaitReset();

  // Answering.
  void AnswerAtOnce();
  void Translate(bool chat);
  void Run(ApiCall call);
  void OpenStream();
  void StreamPart(const std::string& part);
  void EndStream();
  void FailCall(const ApiError& error);
  void Probe();
  void KeepAlive();
  void ReplyWhole(std::unique_ptr<WholeResponse> response);
  void WritePiece(const std::string& piece);
  void DropWhole();

  // Outgoing.
  void Refuse(const ApiError& error);  // and close
  void Reply(const HttpReply& reply);
  void Send(std::string_view bytes);
  void Enter(Phase phase);
  void EndSilence();
  void Write();
  void OnWritten(boost::system::error_code error, size_t byte_count);
  void Linger();

  std::weak_ptr<ServerState> weak_state_;
  ServerState& state_;  // outlives every session but not what the engine may still hold
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer read_deadline_;
  boost::asio::steady_timer write_deadline_;
  boost::asio::steady_timer next_probe_;
  boost::asio::steady_timer next_keep_alive_;
  Phase phase_ = Phase::kIdle;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();  // when phase_ began
  std::optional<std::list<HttpSession*>::iterator> silent_;  // of state_.silent; nothing once it has spoken

  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  ByteHold body_hold_;  // of the body in parser_, beyond what is free
  Routed routed_;
  bool judged_line_ = false;
  size_t extension_bytes_ = 0;  // of the body's chunks
  std::function<void(uint64_t, boost::beast::string_view, boost::system::error_code&)> on_chunk_;
  bool reading_ = false;
  bool client_ended_ = false;
  size_t lingered_bytes_ = 0;

  std::shared_ptr<Translation> translation_;
  std::shared_ptr<ActiveCall> call_;
  std::unique_ptr<WholeResponse> whole_;  // not all written
  bool head_only_ = false;
  bool chunked_ = false;
  bool keep_alive_ = false;
  bool events_ = false;     // the call's answer is a stream of events, and not one JSON text
  std::chrono::steady_clock::time_point last_part_{};  // of a stream of events
  bool streaming_ = false;  // the answer's head is out, and its body comes in parts

  std::string outgoing_;   // not yet handed to the socket
  std::string writing_;    // what the socket is taking
  size_t written_ = 0;     // of writing_
  ByteHold backlog_hold_;  // of both, beyond what is free
  bool reply_complete_ = false;
};

}  // namespace mrs::serve
