#include "runtime/serve/http_route.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "runtime/serve/http_head.h"

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

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

// A web page whose name was made to point at 127.0.0.1 (DNS rebinding) sends its own name: without API keys the name is
// the only thing that tells it from a local client.
bool IsLocalName(std::string_view host) {
  if (host.empty()) return true;  // HTTP/1.0
  const size_t colon = host.rfind(':');
  if (colon != host.npos && host.find(']', colon) == host.npos) host = host.substr(0, colon);
  const std::string name = Lower(host);
  return name == "localhost" || name == "127.0.0.1" || name == "[::1]";
}

bool IsJson(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && (content_type.back() == ' ' || content_type.back() == '\t'))
    content_type.remove_suffix(1);
  return Lower(content_type) == "application/json";
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

// Those of RFC 9110, 9.3, and PATCH. CONNECT is for proxies, and so not implemented.
bool IsKnownMethod(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"};
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

// What is asked for, of a target in any form (RFC 9112, 3.2): the path with its query, or "*".
struct Target {
  std::string_view path;
  std::optional<Routed> refused;
};

Target ReadTarget(const RequestHead& head) {
  const std::string_view target = head.target;
  const auto bad = [&](std::string_view why) {
    return Target{{}, Refused({}, 400, fmt::format("target {}: {}", Shown(target), why), "bad_http")};
  };
  if (target.find('#') != target.npos) return bad("a target has no fragment");
  const size_t scheme_end = target.find("://");
  if (target.starts_with('/') || scheme_end == target.npos) {  // the origin form
    if (!IsLocalName(head.host)) return Target{{}, Foreign(head.host)};
    if (target == "*" && head.method == "OPTIONS") return Target{target, std::nullopt};
    return target.starts_with('/') ? Target{target, std::nullopt} : bad("expected a path that begins with /");
  }
  // The absolute form, as to a proxy. Its host counts, and not that of the Host field.
  if (Lower(target.substr(0, scheme_end)) != "http") {
    return Target{{},
                  Refused({}, 421, fmt::format("target {}: this server speaks plain http only", Shown(target)),
                          "misdirected_request")};
  }
  std::string_view rest = target.substr(scheme_end + 3);
  const size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, authority_end);
  if (authority.empty() || authority.starts_with(':') || !IsAuthority(authority)) {
    return bad("expected a host and perhaps a port after http://");
  }
  if (!IsLocalName(authority)) return Target{{}, Foreign(authority)};
  rest.remove_prefix(authority_end);
  if (rest.empty() && head.method == "OPTIONS") return Target{"*", std::nullopt};
  return Target{rest.starts_with('/') ? rest : "/", std::nullopt};
}

// RFC 9110, 13: what is served has no entity tag, so that If-Match holds for "*" alone and If-None-Match for all but
// it. There is no modification date either, so the conditions by date are ignored, as they must be. A POST makes its
// answer anew: before it there is nothing to match.
int StatusOfConditions(const RequestHead& head, bool posts) {
  if (!head.if_match.empty() && (posts || head.if_match != "*")) return 412;
  return head.if_none_match == "*" && !posts ? 304 : 0;
}

}  // namespace

Routed Route(const RequestHead& head) {
  if (!IsKnownMethod(head.method)) {
    return Refused({}, 501, fmt::format("method {} is not implemented; use GET or POST", Shown(head.method)),
                   "not_implemented");
  }
  Target target = ReadTarget(head);
  if (target.refused.has_value()) return *std::move(target.refused);
  Routed routed;
  if (target.path == "*") {
    routed.endpoint = Endpoint::kOptions;
    routed.fields = "Allow: GET, HEAD, POST, OPTIONS\r\n";
    return routed;
  }
  const std::string_view path = target.path.substr(0, target.path.find('?'));
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
  const bool allowed = posts ? head.method == "POST" : head.method == "GET" || head.method == "HEAD";
  if (!allowed) {
    routed.fields = posts ? "Allow: POST, OPTIONS\r\n" : "Allow: GET, HEAD, OPTIONS\r\n";
    routed.endpoint = Endpoint::kOptions;
    if (head.method == "OPTIONS") return routed;
    return Refused(
        routed, 405,
        fmt::format("{} is not allowed on {}; use {}", Shown(head.method), Shown(path), posts ? "POST" : "GET"),
        "method_not_allowed");
  }
  // A web page of another origin may post anything but this type without asking first.
  if (posts && !IsJson(head.content_type)) {
    routed.fields = "Accept: application/json\r\n";
    return Refused(routed, 415,
                   fmt::format("Content-Type {}: expected application/json",
                               head.content_type.empty() ? "is missing" : Shown(head.content_type)),
                   "unsupported_media_type");
  }
  if (posts && !head.content_encoding.empty() && Lower(head.content_encoding) != "identity") {
    routed.fields = "Accept-Encoding: identity\r\n";
    return Refused(
        routed, 415,
        fmt::format("Content-Encoding {}: expected none; send the body as it is", Shown(head.content_encoding)),
        "unsupported_media_type");
  }
  routed.conditional = StatusOfConditions(head, posts);
  if (posts && routed.conditional != 0) {
    return Refused(routed, 412,
                   fmt::format("If-Match {}: there is nothing to match before a POST", Shown(head.if_match)),
                   "precondition_failed");
  }
  return routed;
}

}  // namespace mrs::serve
