#include "runtime/serve/http_route.h"

#include <gtest/gtest.h>

namespace mrs::serve {
namespace {

Routed Get(const std::string& target, const std::string& host = "localhost:1234") {
  return Route({.method = "GET", .target = target, .host = host, .content_type = ""});
}

TEST(Route, DecodesAModelsName) {
  EXPECT_EQ(Get("/v1/models/meta%2Fllama?x=1").model_id, "meta/llama");
  EXPECT_EQ(Get("/v1/models/a%2").error->message, "path \"/v1/models/a%2\": malformed % escape");
  EXPECT_EQ(Get("/v1/models/a%zz").error->status, 400);
  EXPECT_EQ(Get("/v1/models/").error->status, 404);
}

TEST(Route, AnswersToLocalNamesOnly) {
  for (const char* host : {"", "localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:1234", "[::1]:1234", "[::1]"}) {
    EXPECT_EQ(Get("/health", host).endpoint, Endpoint::kHealth) << host;
  }
  for (const char* host : {"example.com", "127.0.0.1.example.com", "localhost.example.com:80", "[::2]", ":80"}) {
    EXPECT_EQ(Get("/health", host).error->status, 421) << host;
  }
  EXPECT_EQ(Get("/health", "evil.example").error->message,
            "host \"evil.example\": this server answers to localhost and 127.0.0.1 only");
}

TEST(Route, TakesTheAbsoluteForm) {
  EXPECT_EQ(Get("http://localhost:1234/health?x=1").endpoint, Endpoint::kHealth);
  EXPECT_EQ(Get("HTTP://localhost/health").endpoint, Endpoint::kHealth);
  EXPECT_EQ(Get("http://evil.example/health").error->status, 421);
  // The Host field must not count then.
  EXPECT_EQ(Get("http://localhost/health", "evil.example").endpoint, Endpoint::kHealth);
  EXPECT_EQ(Get("http://evil.example/health", "localhost").error->status, 421);
  EXPECT_EQ(Get("https://localhost/health").error->status, 421);
  for (const char* target :
       {"http:///health", "http://:80/health", "http://me@localhost/health", "http://local host/"}) {
    EXPECT_EQ(Get(target).error->status, 400) << target;
  }
  EXPECT_EQ(Get("http://localhost").error->message.substr(0, 24), "\"/\" is not served here; ");
  EXPECT_EQ(Get("http://localhost?x").error->status, 404);
}

TEST(Route, TakesTheAsteriskOfOptionsOnly) {
  for (const char* target : {"*", "http://localhost"}) {
    const Routed all = Route({.method = "OPTIONS", .target = target, .host = "localhost"});
    EXPECT_EQ(all.endpoint, Endpoint::kOptions);
    EXPECT_EQ(all.fields, "Allow: GET, HEAD, POST, OPTIONS\r\n");
  }
  EXPECT_EQ(Get("*").error->message, "target \"*\": expected a path that begins with /");
  EXPECT_EQ(Get("health").error->status, 400);
  EXPECT_EQ(Get("/health#x").error->message, "target \"/health#x\": a target has no fragment");
}

TEST(Route, KnowsMethodsApart) {
  for (const char* method : {"PUT", "DELETE", "TRACE", "PATCH", "POST"}) {
    const Routed wrong = Route({.method = method, .target = "/health"});
    EXPECT_EQ(wrong.error->status, 405) << method;
    EXPECT_EQ(wrong.fields, "Allow: GET, HEAD, OPTIONS\r\n");
  }
  for (const char* method : {"get", "BREW", "CONNECT"}) {  // methods are case-sensitive
    const Routed wrong = Route({.method = method, .target = "/health"});
    EXPECT_EQ(wrong.error->status, 501) << method;
    EXPECT_EQ(wrong.error->message, "method \"" + std::string(method) + "\" is not implemented; use GET or POST");
  }
}

TEST(Route, JudgesConditions) {
  const auto get = [](const std::string& match, const std::string& none_match) {
    return Route({.method = "GET", .target = "/health", .if_match = match, .if_none_match = none_match}).conditional;
  };
  EXPECT_EQ(get("", ""), 0);
  EXPECT_EQ(get("*", ""), 0);
  EXPECT_EQ(get("\"tag\"", ""), 412);
  EXPECT_EQ(get("", "*"), 304);
  EXPECT_EQ(get("", "\"tag\""), 0);
  EXPECT_EQ(get("\"tag\"", "*"), 412);  // If-Match comes first
  RequestHead post{.method = "POST", .target = "/v1/completions", .content_type = "application/json"};
  post.if_none_match = "*";
  EXPECT_EQ(Route(post).endpoint, Endpoint::kCompletions);
  post.if_match = "*";
  EXPECT_EQ(Route(post).error->status, 412);
}

TEST(Route, RefusesAnEncodedBody) {
  RequestHead head{.method = "POST", .target = "/v1/completions", .host = "", .content_type = "application/json"};
  head.content_encoding = "identity";
  EXPECT_EQ(Route(head).endpoint, Endpoint::kCompletions);
  head.content_encoding = "gzip";
  EXPECT_EQ(Route(head).error->status, 415);
  EXPECT_EQ(Route(head).error->message, "Content-Encoding \"gzip\": expected none; send the body as it is");
  EXPECT_EQ(Route(head).fields, "Accept-Encoding: identity\r\n");
}

TEST(Route, WantsJson) {
  RequestHead head{.method = "POST", .target = "/v1/completions", .host = "", .content_type = "text/plain"};
  EXPECT_EQ(Route(head).error->message, "Content-Type \"text/plain\": expected application/json");
  EXPECT_EQ(Route(head).fields, "Accept: application/json\r\n");
  head.content_type = "application/json, text/plain";  // two fields
  EXPECT_EQ(Route(head).error->status, 415);
  head.content_type = "";
  EXPECT_EQ(Route(head).error->message, "Content-Type is missing: expected application/json");
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8", "application/json ;x"}) {
    head.content_type = type;
    EXPECT_EQ(Route(head).endpoint, Endpoint::kCompletions) << type;
  }
}

TEST(Route, NamesWhatIsNotThere) {
  EXPECT_EQ(Get("/v1/embeddings").error->message,
            "\"/v1/embeddings\" is not served here; there are /v1/models, /v1/chat/completions, /v1/completions, "
            "/health and /version");
  const Routed wrong = Route({.method = "DELETE", .target = "/v1/models", .host = "", .content_type = ""});
  EXPECT_EQ(wrong.error->status, 405);
  EXPECT_EQ(wrong.error->message, "\"DELETE\" is not allowed on \"/v1/models\"; use GET");
  EXPECT_EQ(wrong.fields, "Allow: GET, HEAD, OPTIONS\r\n");
}

}  // namespace
}  // namespace mrs::serve
