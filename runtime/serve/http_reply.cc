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

std::string HttpDate(std::time_t time) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm t{};
  gmtime_r(&time, &t);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[t.tm_wday], t.tm_mday, kMonths[t.tm_mon],
                     t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

// What is full now may not be so in a second; a server that ends or has failed stays so.
HttpReply ErrorReply(const ApiError& error) {
  const bool passes = error.status == 503 && error.code != "shutting_down";
  return HttpReply{.status = error.status, .body = ErrorBody(error), .fields = passes ? "Retry-After: 1\r\n" : ""};
}

std::string WriteReply(const HttpReply& reply, const ReplyForm& form) {
  const bool has_length = reply.status != 204 && reply.status != 304;  // those two never have a body
  std::string bytes = StatusLine(reply.status);
  bytes += fmt::format("Date: {}\r\n", form.date);
  bytes += reply.fields;
  if (!reply.body.empty()) bytes += "Content-Type: application/json\r\n";
  if (has_length) bytes += fmt::format("Content-Length: {}\r\n", reply.body.size());
  bytes += Connection(form.keep_alive);
  bytes += "\r\n";
  if (!form.head_only) bytes += reply.body;
  return bytes;
}

std::string WriteStreamHead(bool events, bool chunked, const ReplyForm& form) {
  std::string bytes = StatusLine(200);
  bytes += fmt::format("Date: {}\r\n", form.date);
  bytes += events ? "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                    "X-Accel-Buffering: no\r\n"
                  : "Content-Type: application/json\r\n";
  if (chunked) bytes += "Transfer-Encoding: chunked\r\n";
  bytes += Connection(form.keep_alive);
  return bytes + "\r\n";
}

std::string WriteChunk(std::string_view data) {
  return data.empty() ? std::string() : fmt::format("{:x}\r\n{}\r\n", data.size(), data);
}

}  // namespace mrs::serve
