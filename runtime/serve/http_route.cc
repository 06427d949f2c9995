#include "runtime/serve/http_route.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace mrs::serve {
namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";

struct Row {
  std::string_view path;
  Endpoint endpoint;
  bool posts;  // else GET and HEAD
};
constexpr Row kRows[] = {
    {"/health", Endpoint::kHealth, false},
    {"/version", Endpoint::kVersion, false},
    {"/v1/models", Endpoint::kModels, false},
    {"/v1/chat/completions", Endpoint::kChat, true},
    {"/v1/completions", Endpoint::kCompletions, true},
};

// For messages: what a client sent, short and printable.
std::string Shown(std::string_view text) { return DescribeJson(Json(std::string(text))); }

std::optional<std::string> PercentDecode(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
    out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
    i += 2;
  }
  return out;
}

// A web page whose name was made to point at 127.0.0.1 (DNS rebinding) sends its own name: without API keys the name is
// the only thing that tells it from a local client.
bool IsLocalName(std::string_view host) {
  if (host.empty()) return true;  // HTTP/1.0
  const size_t colon = host.rfind(':');
  if (colon != host.npos && host.find(']', colon) == host.npos) host = host.substr(0, colon);
  std::string name(host);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name == "localhost" || name == "127.0.0.1" || name == "[::1]";
}

bool IsJson(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && (content_type.back() == ' ' || content_type.back() == '\t'))
    content_type.remove_suffix(1);
  std::string type(content_type);
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type == "application/json";
}

Routed Refused(Routed routed, int status, std::string message, std::string code) {
  routed.endpoint = Endpoint::kNone;
  routed.error = ApiError{.status = status, .message = std::move(message), .param = "", .code = std::move(code)};
  return routed;
}

Routed Foreign(std::string_view host) {
  return Refused({}, 421, fmt::format("host {}: this server answers to localhost and 127.0.0.1 only", Shown(host)),
                 "misdirected_request");
}

}  // namespace

Routed Route(const RequestHead& head) {
  Routed routed;
  if (!IsLocalName(head.host)) return Foreign(head.host);
  std::string_view target = head.target;
  if (target.starts_with("http://")) {  // as to a proxy; its authority must be local, too
    target.remove_prefix(7);
    const size_t slash = std::min(target.find('/'), target.size());
    const std::string_view authority = target.substr(0, slash);
    if (authority.empty() || !IsLocalName(authority)) return Foreign(authority);
    target.remove_prefix(slash);
  }
  const std::string_view path = target.substr(0, target.find('?'));
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows), [path](const Row& r) { return r.path == path; });
  bool posts = false;
  if (row != std::end(kRows)) {
    routed.endpoint = row->endpoint;
    posts = row->posts;
  } else if (path.size() > kModelPrefix.size() && path.substr(0, kModelPrefix.size()) == kModelPrefix) {
    const std::optional<std::string> id = PercentDecode(path.substr(kModelPrefix.size()));
    if (!id.has_value()) return Refused(routed, 400, fmt::format("path {}: malformed % escape", Shown(path)), "");
    routed.endpoint = Endpoint::kModel;
    routed.model_id = *id;
  } else {
    return Refused(routed, 404,
                   fmt::format("{} is not served here; there are /v1/models, /v1/chat/completions, /v1/completions, "
                               "/health and /version",
                               Shown(path)),
                   "not_found");
  }
  routed.allow = posts ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
  if (head.method == "OPTIONS") {
    routed.endpoint = Endpoint::kOptions;
    return routed;
  }
  const bool allowed = posts ? head.method == "POST" : head.method == "GET" || head.method == "HEAD";
  if (!allowed) {
    return Refused(
        routed, 405,
        fmt::format("{} is not allowed on {}; use {}", Shown(head.method), Shown(path), posts ? "POST" : "GET"),
        "method_not_allowed");
  }
  // A web page of another origin may post anything but this type without asking first.
  if (posts && !IsJson(head.content_type)) {
    return Refused(routed, 415,
                   fmt::format("Content-Type {}: expected application/json",
                               head.content_type.empty() ? "is missing" : Shown(head.content_type)),
                   "unsupported_media_type");
  }
  if (posts && !head.content_encoding.empty() && head.content_encoding != "identity") {
    return Refused(
        routed, 415,
        fmt::format("Content-Encoding {}: expected none; send the body as it is", Shown(head.content_encoding)),
        "unsupported_media_type");
  }
  return routed;
}

}  // namespace mrs::serve
