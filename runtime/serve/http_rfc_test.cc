// What RFC 9110 and RFC 9112 ask of an origin server, seen from outside: bytes in, statuses out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/serve/api_test_model.h"
#include "runtime/serve/server.h"
#include "runtime/serve/server_test_peers.h"

namespace mrs::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kPost = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
const std::string kBody = R"({"prompt":[1]})";
const std::string kLength = "Content-Length: 14\r\n";
const std::string kChunked = "Transfer-Encoding: chunked\r\n";
const std::string kChunks = "e\r\n" + kBody + "\r\n0\r\n\r\n";
const std::string kGet = "GET /version HTTP/1.1\r\nHost: localhost\r\n";
const std::string kStreamBody = R"({"prompt":[1],"stream":true})";  // 28 bytes

// The statuses of all responses in what a server sent.
std::vector<int> StatusesIn(const std::string& bytes) {
  constexpr std::string_view kStart = "HTTP/1.1 ";
  std::vector<int> statuses;
  for (size_t at = bytes.find(kStart); at != bytes.npos; at = bytes.find(kStart, at + 1)) {
    if (const int status = std::atoi(bytes.c_str() + at + kStart.size()); status > 0) statuses.push_back(status);
  }
  return statuses;
}

class HttpRfc : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void Start(const ServeOptions& options) {
    server_.reset();
    Result<BoundListener> listener = BindListener("127.0.0.1", 0);
    ASSERT_TRUE(listener.ok()) << listener.message();
    port_ = listener->port;
    Result<std::unique_ptr<Server>> server = Server::Start(*std::move(listener), engine_.Handle(TestModel()), options);
    ASSERT_TRUE(server.ok()) << server.message();
    server_ = *std::move(server);
  }

  // All that the server says to these bytes and one more request, which asks it to close. A refusal that closes leaves
  // the last unanswered; bytes that one reader takes for a body and another for a request would show as one more.
  std::string Exchange(const std::string& bytes) {
    engine_.answers_at_once = true;
    Client client(port_);
    client.Send(bytes + kGet + "Connection: close\r\n\r\n");
    return client.ReadUntil("(the end)");
  }
  std::vector<int> Statuses(const std::string& bytes) { return StatusesIn(Exchange(bytes)); }

  ScriptedEngine engine_;
  uint16_t port_ = 0;
  std::unique_ptr<Server> server_;
};

TEST_F(HttpRfc, ARequestHasOneHost) {
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n"), ElementsAre(400));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: evil.com\r\nHost: localhost\r\n\r\n"), ElementsAre(400));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\n\r\n"), ElementsAre(400));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: evil.com@localhost\r\n\r\n"), ElementsAre(400));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost:evil.com\r\n\r\n"), ElementsAre(400));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost:80\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Statuses("GET /health HTTP/1.0\r\n\r\n"), ElementsAre(200));
  EXPECT_THAT(Exchange("GET /health HTTP/1.1\r\n\r\n"), HasSubstr("Host is missing: HTTP/1.1 requires it"));
}

TEST_F(HttpRfc, VersionsOfOneMajorAreOne) {
  EXPECT_THAT(Statuses("GET /health HTTP/1.2\r\nHost: localhost\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Statuses("GET /health HTTP/1.9\r\n\r\n"), ElementsAre(400));  // as HTTP/1.1: Host is missing
  EXPECT_THAT(Statuses("GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n"), ElementsAre(505));
  EXPECT_THAT(Statuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ElementsAre(505));
  for (const char* version : {"http/1.1", "HTTP/1", "HTTP/1.10", "HTTP/11", "HTTP /1.1", ""}) {
    EXPECT_THAT(Statuses("GET /health " + std::string(version) + "\r\nHost: localhost\r\n\r\n"), ElementsAre(400))
        << version;
  }
}

TEST_F(HttpRfc, LinesAreWhatTheyShouldBe) {
  EXPECT_THAT(Statuses("\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Statuses(kPost + kLength + "\r\n" + kBody + "\r\n"), ElementsAre(200, 200));  // and a line end too many
  for (const char* bad :
       {"GET /health HTTP/1.1\nHost: localhost\n\n", "GET /health HTTP/1.1\r\n Host: localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\nb\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n", "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", " GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"}) {
    EXPECT_THAT(Statuses(bad), ElementsAre(400)) << bad;
  }
  const std::string nul = std::string("GET /health HTTP/1.1\r\nHost: localhost\r\nX: a") + '\0' + "b\r\n\r\n";
  EXPECT_THAT(Statuses(nul), ElementsAre(400));
  // A folded line is read as one.
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost:\r\n localhost\r\nX: a\r\n\tb\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost\r\nX: \xff\xfe caf\xc3\xa9\r\n\r\n"),
              ElementsAre(200, 200));
}

TEST_F(HttpRfc, WhatIsTooLongIsToldApart) {
  EXPECT_THAT(Statuses("GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n"), ElementsAre(414));
  EXPECT_THAT(Statuses("GET /" + std::string(8'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              ElementsAre(404, 200));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n"),
              ElementsAre(431));
}

TEST_F(HttpRfc, ABodyEndsBeyondDoubt) {
  EXPECT_THAT(Statuses(kPost + kLength + "\r\n" + kBody), ElementsAre(200, 200));
  EXPECT_THAT(Statuses(kPost + kChunked + "\r\n" + kChunks), ElementsAre(200, 200));
  // Both: refused, and nothing that follows is taken for a request.
  EXPECT_THAT(Statuses(kPost + kLength + kChunked + "\r\n" + kChunks), ElementsAre(400));
  EXPECT_THAT(Statuses(kPost + kChunked + kLength + "\r\n" + kChunks), ElementsAre(400));
  for (const char* coding : {"gzip", "identity", "xchunked", "chunked, chunked", "chunked, gzip",
                             "\x0b"
                             "chunked"}) {
    EXPECT_THAT(Statuses(kPost + "Transfer-Encoding: " + coding + "\r\n\r\n" + kChunks), ElementsAre(400)) << coding;
  }
  EXPECT_THAT(Statuses(kPost + kChunked + "Transfer-Encoding: identity\r\n\r\n" + kChunks), ElementsAre(400));
  EXPECT_THAT(Statuses(kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n" + kChunks), ElementsAre(501));
  EXPECT_THAT(
      Statuses("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n" + kChunked + "\r\n" + kChunks),
      ElementsAre(400));
  // A list of the same length is that length.
  EXPECT_THAT(Statuses(kPost + "Content-Length: 14, 14\r\n\r\n" + kBody), ElementsAre(200, 200));
  EXPECT_THAT(Statuses(kPost + kLength + kLength + "\r\n" + kBody), ElementsAre(200, 200));
  for (const char* length :
       {"14, 5", "5, 14", "+14", "-14", "0xe", "14 14", "18446744073709551630", "", ",", "1e1", "14;x"}) {
    EXPECT_THAT(Statuses(kPost + "Content-Length: " + length + "\r\n\r\n" + kBody), ElementsAre(400)) << length;
  }
  EXPECT_THAT(Statuses(kPost + kLength + "Content-Length: 5\r\n\r\n" + kBody), ElementsAre(400));
  EXPECT_THAT(Statuses(kPost + "\r\n"), ElementsAre(400, 200));  // no body: no JSON
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"),
              ElementsAre(200, 200));
}

TEST_F(HttpRfc, ChunksAreReadAsTheyShouldBe) {
  const auto statuses = [&](const std::string& chunks) { return Statuses(kPost + kChunked + "\r\n" + chunks); };
  EXPECT_THAT(statuses("00E\r\n" + kBody + "\r\n000\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(statuses("e;name=value;other;quoted=\"a;b\"\r\n" + kBody + "\r\n0;last\r\n\r\n"), ElementsAre(200, 200));
  // Trailers are read and dropped; one that would change where the message ends is an error.
  EXPECT_THAT(statuses("e\r\n" + kBody + "\r\n0\r\nX: y\r\nHost: evil.com\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(statuses("e\r\n" + kBody + "\r\n0\r\nContent-Length: 9\r\n\r\n"), ElementsAre(400));
  for (const char* bad : {"ffffffffffffffffff\r\n", "-1\r\n", "e \rx\r\n", "g\r\n", "\r\n", "e;=\r\n"}) {
    EXPECT_THAT(statuses(bad + kBody + "\r\n0\r\n\r\n"), ElementsAre(400)) << bad;
  }
  EXPECT_THAT(statuses("e\r\n" + kBody + "XX0\r\n\r\n"), ElementsAre(400));
  Client bare(port_);  // told at once, and not when the body is late
  bare.Send(kPost + kChunked + "\r\ne\n" + kBody + "\n0\n\n");
  EXPECT_EQ(bare.ReadAnswer().status, 400);
  std::string extended;
  for (int i = 0; i < 14; ++i)
    extended += "1;" + std::string(2000, 'x') + "\r\n" + kBody[static_cast<size_t>(i)] + "\r\n";
  EXPECT_THAT(Exchange(kPost + kChunked + "\r\n" + extended + "0\r\n\r\n"),
              HasSubstr("the body's chunk extensions or trailers are too large; send less of them"));
}

TEST_F(HttpRfc, EveryAnswerHasADate) {
  const auto date = testing::ContainsRegex(
      "\r\nDate: [A-Z][a-z][a-z], [0-9][0-9] [A-Z][a-z][a-z] 20[0-9][0-9] "
      "[0-9][0-9]:[0-9][0-9]:[0-9][0-9] GMT\r\n");
  for (const std::string request :
       {"GET /health HTTP/1.1\r\nHost: localhost\r\n", "GET /nothing HTTP/1.1\r\nHost: localhost\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", "GET /health HTTP/7.0\r\n"}) {
    Client client(port_);
    client.Send(request + "\r\n");
    EXPECT_THAT(client.ReadUntil("\r\n\r\n"), date) << request;
  }
  Client stream(port_);
  stream.Post("/v1/completions", kStreamBody);
  engine_.Token(1, "a");
  EXPECT_THAT(stream.ReadUntil("\r\n\r\n"), date);
}

TEST_F(HttpRfc, AHeadIsAGetWithoutItsBody) {
  for (const char* path : {"/v1/models", "/nothing"}) {
    const std::string rest = std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    Client client(port_);
    client.Send("HEAD " + rest + "GET " + rest);
    const Answer head = client.ReadAnswer(/*has_body=*/false);
    const Answer get = client.ReadAnswer();
    EXPECT_EQ(head.status, get.status);
    const auto length = [](const Answer& answer) {
      return answer.head.substr(answer.head.find("Content-Length: "), 20);
    };
    EXPECT_EQ(length(head), length(get)) << path;
  }
  // The next request is no HEAD, even if it is refused by its first line.
  EXPECT_THAT(Exchange("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/2.0\r\n\r\n"),
              HasSubstr("HTTP/2.0 is not spoken here"));
}

TEST_F(HttpRfc, ExpectationsAreMetOrRefused) {
  EXPECT_THAT(Statuses(kPost + kLength + "Expect: 100-continue\r\n\r\n" + kBody), ElementsAre(100, 200, 200));
  EXPECT_THAT(Statuses(kPost + kLength + "Expect: 200-ok\r\n\r\n" + kBody), ElementsAre(417));
  // A refusal comes in place of the 100, and HTTP/1.0 knows none.
  EXPECT_THAT(
      Statuses("POST /nothing HTTP/1.1\r\nHost: localhost\r\n" + kLength + "Expect: 100-continue\r\n\r\n" + kBody),
      ElementsAre(404));
  EXPECT_THAT(Statuses("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n" + kLength +
                       "Expect: 100-continue\r\n\r\n" + kBody),
              ElementsAre(200));
}

TEST_F(HttpRfc, TargetsComeInEveryForm) {
  EXPECT_THAT(Exchange("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              HasSubstr("Allow: GET, HEAD, POST, OPTIONS\r\n"));
  EXPECT_THAT(Statuses("GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Statuses("GET http://localhost/health HTTP/1.1\r\nHost: evil.com\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Statuses("GET http://evil.com/health HTTP/1.1\r\nHost: localhost\r\n\r\n"), ElementsAre(421, 200));
  EXPECT_THAT(Statuses("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n"), ElementsAre(501, 200));
  EXPECT_THAT(Statuses("get /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), ElementsAre(501, 200));
  EXPECT_THAT(Exchange("TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              HasSubstr("Allow: GET, HEAD, OPTIONS\r\n"));
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
                       "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
              ElementsAre(200, 200));
}

TEST_F(HttpRfc, ConditionsAreJudgedWhereTheAnswerWouldBeOne) {
  const auto statuses = [&](const std::string& path, const std::string& condition) {
    return Statuses("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + condition + "\r\n\r\n");
  };
  EXPECT_THAT(statuses("/health", "If-None-Match: *"), ElementsAre(304, 200));
  EXPECT_THAT(statuses("/health", "If-Match: \"a\""), ElementsAre(412, 200));
  EXPECT_THAT(statuses("/health", "If-Match: *"), ElementsAre(200, 200));
  EXPECT_THAT(statuses("/v1/models/none", "If-Match: \"a\""), ElementsAre(404, 200));
  EXPECT_THAT(statuses("/health", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), ElementsAre(200, 200));
  EXPECT_THAT(statuses("/health", "Range: bytes=0-1"), ElementsAre(200, 200));
}

TEST_F(HttpRfc, ConnectionsStayOrCloseAsAsked) {
  EXPECT_THAT(Statuses("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), ElementsAre(200));
  EXPECT_THAT(Statuses("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), ElementsAre(200, 200));
  EXPECT_THAT(Exchange("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
              HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_THAT(Statuses("GET /health HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), ElementsAre(200));
  std::string many;
  for (int i = 0; i < 50; ++i) many += i % 2 == 0 ? kGet + "\r\n" : kPost + kLength + "\r\n" + kBody;
  EXPECT_EQ(Statuses(many), std::vector<int>(51, 200));
}

TEST_F(HttpRfc, AStreamToHttp10EndsWithTheConnection) {
  for (const char* connection : {"", "Connection: keep-alive\r\n"}) {
    Client client(port_);
    client.Send("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 28\r\n" +
                std::string(connection) + "\r\n" + kStreamBody);
    const RequestId id = *connection == '\0' ? 1 : 2;
    engine_.Token(id, "a");
    engine_.Finish(id, FinishReason::kStop);
    const std::string said = client.ReadUntil("(the end)");
    EXPECT_THAT(said, HasSubstr("Connection: close\r\n"));
    EXPECT_THAT(said, Not(HasSubstr("Transfer-Encoding")));
    EXPECT_THAT(said, testing::EndsWith("data: [DONE]\n\n"));
  }
}

TEST_F(HttpRfc, AClientThatClosesItsSendingHalfIsAnswered) {
  Client whole(port_);
  whole.Post("/v1/completions", kBody);
  whole.HalfClose();
  engine_.AwaitRequest(1);
  engine_.Token(1, "hello");
  engine_.Finish(1, FinishReason::kStop);
  std::string said = whole.ReadUntil("(the end)");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said, HasSubstr(R"("text":"hello")"));
  EXPECT_FALSE(engine_.Cancelled(1));

  Client stream(port_);
  stream.Post("/v1/completions", kStreamBody);
  engine_.Token(2, "a");
  stream.ReadUntil(R"("text":"a")");
  stream.HalfClose();
  engine_.Token(2, "b");
  engine_.Finish(2, FinishReason::kStop);
  EXPECT_THAT(stream.ReadUntil("(the end)"), HasSubstr("data: [DONE]\n\n"));

  Client old(port_);
  old.Send("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n" + kLength + "\r\n" + kBody);
  old.HalfClose();
  engine_.Token(3, "hello");
  engine_.Finish(3, FinishReason::kStop);
  said = old.ReadUntil("(the end)");
  EXPECT_THAT(said, HasSubstr(R"("text":"hello")"));
  EXPECT_THAT(said, Not(HasSubstr("Transfer-Encoding")));

  Client refused(port_);
  refused.Post("/v1/completions", "{");
  refused.HalfClose();
  EXPECT_THAT(StatusesIn(refused.ReadUntil("(the end)")), ElementsAre(400));

  // What was sent whole is answered, all of it; what was not, is told.
  engine_.answers_at_once = true;
  Client many(port_);
  many.Send(kGet + "\r\n" + kPost + kLength + "\r\n" + kBody + kGet + "\r\n" + kPost + kLength + "\r\n{");
  many.HalfClose();
  EXPECT_THAT(StatusesIn(many.ReadUntil("(the end)")), ElementsAre(200, 200, 200, 400));
}

TEST_F(HttpRfc, ABodyThatHasBegunTellsAFailure) {
  Client whole(port_);
  whole.Post("/v1/completions", kBody);
  whole.HalfClose();
  EXPECT_THAT(whole.ReadUntil("\r\n\r\n"),
              HasSubstr("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"));
  engine_.Finish(1, FinishReason::kError, "rank 1 step 7: lost");
  std::string said = whole.ReadUntil("(the end)");
  EXPECT_THAT(said, HasSubstr("rank 1 step 7: lost"));
  EXPECT_THAT(said, Not(HasSubstr("0\r\n\r\n")));  // it does not end as a whole body does

  Client stream(port_);
  stream.Post("/v1/completions", kStreamBody);
  stream.HalfClose();
  EXPECT_THAT(stream.ReadUntil("\r\n\r\n"), HasSubstr("Content-Type: text/event-stream"));
  engine_.Finish(2, FinishReason::kError, "rank 1 step 8: lost");
  said = stream.ReadUntil("(the end)");
  EXPECT_THAT(said, HasSubstr(R"(data: {"error":{"message":"rank 1 step 8: lost")"));
  EXPECT_THAT(said, testing::EndsWith("\n\n\r\n0\r\n\r\n"));
}

TEST_F(HttpRfc, AClientThatListensNoMoreIsNoticed) {
  ServeOptions options;
  options.probe_interval = std::chrono::milliseconds(20);
  Start(options);
  for (const std::string& body : {kBody, kStreamBody}) {
    const RequestId id = body == kBody ? 1 : 2;
    auto client = std::make_unique<Client>(port_);
    client->Post("/v1/completions", body);
    client->HalfClose();
    client->ReadUntil("\r\n\r\n");
    client->ReadUntil(body == kBody ? " " : ":");  // it is asked again and again
    EXPECT_FALSE(engine_.Cancelled(id));
    client.reset();
    EXPECT_TRUE(engine_.AwaitCancel(id));
    engine_.Finish(id, FinishReason::kCancelled);
  }
}

}  // namespace
}  // namespace mrs::serve
