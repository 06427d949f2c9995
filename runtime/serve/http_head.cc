#include "runtime/serve/http_head.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <cctype>

#include "formats/json.h"

namespace mrs::serve {
namespace {

bool SameName(std::string_view a, std::string_view b) {
  return boost::beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

std::string Shown(std::string_view text) { return DescribeJson(Json(std::string(text))); }

ApiError BadHead(int status, std::string message, std::string code = "bad_http") {
  return {.status = status, .message = std::move(message), .param = "", .code = std::move(code)};
}

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The members of a comma-separated list; empty ones are passed over (RFC 9110, 5.6.1.2).
std::vector<std::string_view> Members(std::string_view list) {
  std::vector<std::string_view> members;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (const std::string_view member = Trimmed(list.substr(0, comma)); !member.empty()) members.push_back(member);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return members;
}

// RFC 9112, 6.1 and 6.3: where the body ends must be beyond doubt, or another reader of the same bytes sees another
// request in them.
Fault JudgeTransferEncoding(unsigned version, const std::vector<HttpField>& fields) {
  const auto is_it = [](const HttpField& field) { return SameName(field.name, "Transfer-Encoding"); };
  if (std::none_of(fields.begin(), fields.end(), is_it)) return std::nullopt;
  const std::string list = FieldValue(fields, "Transfer-Encoding");
  if (version < 11) {
    return BadHead(400, fmt::format("Transfer-Encoding {}: HTTP/1.0 has none; send a Content-Length", Shown(list)));
  }
  const std::vector<std::string_view> codings = Members(list);
  const auto chunked = std::count_if(codings.begin(), codings.end(),
                                     [](std::string_view coding) { return SameName(coding, "chunked"); });
  if (chunked != 1 || !SameName(codings.back(), "chunked")) {
    return BadHead(400, fmt::format("Transfer-Encoding {}: expected chunked, once and last", Shown(list)));
  }
  if (codings.size() > 1) {
    return BadHead(
        501, fmt::format("Transfer-Encoding {}: only chunked is implemented; send the body as it is", Shown(list)),
        "not_implemented");
  }
  return std::nullopt;
}

// RFC 9112, 3.2.
Fault JudgeHost(unsigned version, const std::vector<HttpField>& fields) {
  const auto count =
      std::count_if(fields.begin(), fields.end(), [](const HttpField& field) { return SameName(field.name, "Host"); });
  if (count > 1) return BadHead(400, fmt::format("Host appears {} times, expected once", count));
  if (count == 0 && version >= 11) return BadHead(400, "Host is missing: HTTP/1.1 requires it");
  const std::string host = FieldValue(fields, "Host");
  if (!IsAuthority(host)) return BadHead(400, fmt::format("Host {}: expected a host and perhaps a port", Shown(host)));
  return std::nullopt;
}

}  // namespace

RequestLine JudgeRequestLine(std::string_view bytes, size_t max_bytes) {
  RequestLine line;
  const size_t end = bytes.find('\n');
  const std::string_view text = bytes.substr(0, end);
  if (text.size() > max_bytes) {
    line.fault = BadHead(414, fmt::format("the request line has more than {} bytes; send a shorter target", max_bytes),
                         "target_too_long");
    return line;
  }
  // TLS, or bytes of another protocol, which may never come to an end of line.
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\r') || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    line.fault = BadHead(400, "malformed HTTP request: a control character in the request line; is this plain HTTP?");
    return line;
  }
  if (end == bytes.npos) return line;
  line.complete = true;
  if (!text.ends_with('\r')) {
    line.fault = BadHead(400, "malformed HTTP request: the request line ends in a bare LF; expected CR LF");
    return line;
  }
  // What is no version at all is the parser's to refuse.
  const std::string_view version = text.substr(text.rfind(' ') + 1, 8);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool is_version = version.size() == 8 && version.substr(0, 5) == "HTTP/" && is_digit(version[5]) &&
                          version[6] == '.' && is_digit(version[7]);
  if (!is_version) return line;
  if (version[5] != '1') {
    line.fault =
        BadHead(505, fmt::format("{} is not spoken here; use HTTP/1.1 or HTTP/1.0", version), "version_not_supported");
  } else if (version[7] > '1') {
    line.minor_digit = static_cast<size_t>(version.data() - bytes.data()) + 7;
  }
  return line;
}

HeadFacts JudgeFields(unsigned version, const std::vector<HttpField>& fields) {
  HeadFacts facts;
  const std::string connection = FieldValue(fields, "Connection");
  bool close = false;
  bool keep_alive = version >= 11;
  for (const std::string_view option : Members(connection)) {
    close |= SameName(option, "close");
    keep_alive |= SameName(option, "keep-alive");
  }
  facts.keep_alive = keep_alive && !close;
  facts.fault = JudgeTransferEncoding(version, fields);
  if (!facts.fault.has_value()) facts.fault = JudgeHost(version, fields);
  // RFC 9110, 10.1.1: HTTP/1.0 knows no Expect.
  const std::string expectation = version >= 11 ? FieldValue(fields, "Expect") : "";
  if (expectation.empty()) return facts;
  facts.expects_continue = SameName(expectation, "100-continue");
  if (!facts.expects_continue && !facts.fault.has_value()) {
    facts.fault =
        BadHead(417, fmt::format("Expect {}: expected 100-continue", Shown(expectation)), "expectation_failed");
  }
  return facts;
}

std::string FieldValue(const std::vector<HttpField>& fields, std::string_view name) {
  std::string joined;
  for (const HttpField& field : fields) {
    if (!SameName(field.name, name) || field.value.empty()) continue;
    if (!joined.empty()) joined += ", ";
    joined += field.value;
  }
  return joined;
}

// RFC 3986, 3.2.2 and 3.2.3.
bool IsAuthority(std::string_view text) {
  constexpr std::string_view kMarks = "-._~!$&'()*+,;=";
  const auto is_alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  size_t at = 0;
  if (text.starts_with('[')) {
    at = text.find(']');
    if (at == text.npos || at == 1) return false;
    for (const char c : text.substr(1, at - 1)) {
      if (!is_alnum(c) && c != ':' && kMarks.find(c) == kMarks.npos) return false;
    }
    ++at;
  }
  for (; at < text.size() && !text.starts_with('[') && text[at] != ':'; ++at) {
    if (is_alnum(text[at]) || kMarks.find(text[at]) != kMarks.npos) continue;
    if (text[at] != '%' || at + 2 >= text.size() || !is_hex(text[at + 1]) || !is_hex(text[at + 2])) return false;
    at += 2;
  }
  if (at == text.size()) return true;
  const std::string_view port = text.substr(at + 1);
  return text[at] == ':' && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace mrs::serve
