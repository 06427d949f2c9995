#include "runtime/serve/http_reply.h"

#include <boost/beast/http/status.hpp>

namespace mrs::serve {
namespace {

std::string StatusLine(int status) {
  const boost::beast::string_view reason =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return fmt::format("HTTP/1.1 {} {}\r\n", status, std::string_view(reason.data(), reason.size()));
}

const char* Connection(bool keep_alive) { return keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n"; }

}  // namespace

HttpReply ErrorReply(const ApiError& error) {
  return HttpReply{.status = error.status, .body = ErrorBody(error), .allow = ""};
}

std::string WriteReply(const HttpReply& reply, const ReplyForm& form) {
  std::string bytes = StatusLine(reply.status);
  if (!reply.allow.empty()) bytes += fmt::format("Allow: {}\r\n", reply.allow);
  if (!reply.body.empty()) bytes += "Content-Type: application/json\r\n";
  if (reply.status != 204) bytes += fmt::format("Content-Length: {}\r\n", reply.body.size());
  bytes += Connection(form.keep_alive);
  bytes += "\r\n";
  if (!form.head_only) bytes += reply.body;
  return bytes;
}

std::string WriteStreamHead(bool chunked, bool keep_alive) {
  std::string bytes = StatusLine(200);
  bytes += "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  if (chunked) bytes += "Transfer-Encoding: chunked\r\n";
  bytes += Connection(keep_alive);
  return bytes + "\r\n";
}

std::string WriteChunk(std::string_view data) {
  return data.empty() ? std::string() : fmt::format("{:x}\r\n{}\r\n", data.size(), data);
}

}  // namespace mrs::serve
