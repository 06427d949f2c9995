#include "runtime/serve/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/serve/api_request.h"
#include "runtime/serve/api_test_model.h"
#include "runtime/serve/server_test_peers.h"

namespace mrs::serve {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kHello = R"({"messages":[{"role":"user","content":"Hi"}]})";
constexpr const char* kHelloStream = R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})";

class ServerTest : public testing::Test {
 protected:
  void Start(const ServeOptions& options = {}) {
    Result<BoundListener> listener = BindListener("127.0.0.1", 0);
    ASSERT_TRUE(listener.ok()) << listener.message();
    port_ = listener->port;
    Result<std::unique_ptr<Server>> server = Server::Start(*std::move(listener), engine_.Handle(TestModel()), options);
    ASSERT_TRUE(server.ok()) << server.message();
    server_ = *std::move(server);
  }
  void SetUp() override { Start(); }
  // How many sessions are busy, once it is `expected` or patience ends: a client has its answer a moment before its
  // session counts as idle.
  size_t BusyOnceItIs(size_t expected) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (server_->busy() != expected && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return server_->busy();
  }

  ScriptedEngine engine_;
  uint16_t port_ = 0;
  std::unique_ptr<Server> server_;
};

TEST(BindListener, RefusesABusyPortAndAWiderHost) {
  const Result<BoundListener> first = BindListener("127.0.0.1", 0);
  ASSERT_TRUE(first.ok());
  const Result<BoundListener> second = BindListener("127.0.0.1", first->port);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.message(),
            fmt::format("port {} on 127.0.0.1 is in use by another process; choose another with --port", first->port));
  for (const char* host : {"0.0.0.0", "::", "192.168.1.2", "example.com", ""}) {
    const Result<BoundListener> wide = BindListener(host, 0);
    ASSERT_FALSE(wide.ok());
    EXPECT_EQ(wide.message(), fmt::format("--host {}: mrs-exec binds 127.0.0.1 only until API keys come", host));
  }
}

TEST_F(ServerTest, TellsModelsAndHealthOnOneConnection) {
  Client client(port_);
  client.Get("/v1/models");
  EXPECT_THAT(client.ReadAnswer().body, StartsWith(R"({"object":"list","data":[{"id":"mini","object":"model",)"));
  client.Get("/v1/models/mini");
  EXPECT_THAT(client.ReadAnswer().body, StartsWith(R"({"id":"mini","object":"model",)"));
  client.Get("/v1/models/other");
  EXPECT_EQ(client.ReadAnswer().status, 404);
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 200);
  engine_.state = EngineState::kLoading;
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 503);
  engine_.state = EngineState::kStopping;
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 503);
  engine_.state = EngineState::kFailed;
  client.Get("/health?verbose=1");
  EXPECT_EQ(client.ReadAnswer().status, 500);
  client.Get("/version");
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(ServerTest, AnswersAChat) {
  Client client(port_);
  client.Post(kChat, kHello);
  const Request request = engine_.AwaitRequest(1);
  EXPECT_EQ(*text::Decode(TestTokenizer(), request.prompt, false), "<|user|>Hi<|end|><|assistant|>");
  engine_.Token(1, "Hel");
  engine_.Token(1, "lo");
  engine_.Finish(1, FinishReason::kStop);
  const Answer answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr(R"("content":"Hello")"));
  EXPECT_FALSE(engine_.Cancelled(1));
  client.Post("/v1/completions", R"({"prompt":[1,2]})");
  engine_.Token(2, "x");
  engine_.Finish(2, FinishReason::kLength);
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr(R"("text":"x")"));
}

TEST_F(ServerTest, StreamsTokensAsTheyComeAndKeepsTheConnection) {
  Client client(port_);
  client.Post(kChat, kHelloStream);
  engine_.Token(1, "Hel");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("Content-Type: text/event-stream"));
  EXPECT_THAT(client.ReadUntil(R"({"content":"Hel"})"), HasSubstr(R"("role":"assistant")"));
  engine_.Token(1, "lo");
  client.ReadUntil(R"({"content":"lo"})");
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), HasSubstr("data: [DONE]\n\n"));
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(ServerTest, StreamsToHttp10WithoutChunks) {
  Client client(port_);
  client.Send("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n" +
              std::string(R"({"prompt":[1],"stream":true}  )"));
  engine_.Token(1, "a");
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), Not(HasSubstr("chunked")));
  EXPECT_THAT(client.ReadUntil("[DONE]\n\n"), StartsWith("data: "));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ServerTest, AnswersSeveralPromptsInOneResponse) {
  Client client(port_);
  client.Post("/v1/completions", R"({"prompt":[[1],[2]]})");
  engine_.Token(2, "second");
  engine_.Finish(2, FinishReason::kStop);
  engine_.Token(1, "first");
  engine_.Finish(1, FinishReason::kStop);
  const Answer answer = client.ReadAnswer();
  EXPECT_LT(answer.body.find("first"), answer.body.find("second"));
  EXPECT_THAT(answer.body, HasSubstr(R"("usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6})"));
}

TEST_F(ServerTest, CancelsTheRequestOfAClientThatLeaves) {
  for (const char* body : {kHello, kHelloStream}) {
    const RequestId id = body == kHello ? 1 : 2;
    auto client = std::make_unique<Client>(port_);
    client->Post(kChat, body);
    engine_.AwaitRequest(id);
    client.reset();  // before any token
    EXPECT_TRUE(engine_.AwaitCancel(id));
    engine_.Token(id, "late");
    engine_.Finish(id, FinishReason::kCancelled);
  }
}

TEST_F(ServerTest, TellsAnEngineFailure) {
  Client whole(port_);
  whole.Post(kChat, kHello);
  engine_.Finish(1, FinishReason::kError, "rank 1 step 7: lost");
  const Answer answer = whole.ReadAnswer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body,
            R"({"error":{"message":"rank 1 step 7: lost","type":"server_error","param":null,"code":"engine_failed"}})");
  Client stream(port_);
  stream.Post(kChat, kHelloStream);
  engine_.Token(2, "a");
  engine_.Finish(2, FinishReason::kError, "rank 1 step 8: lost");
  const std::string events = stream.ReadUntil("0\r\n\r\n");
  EXPECT_THAT(events, HasSubstr(R"(data: {"error":{"message":"rank 1 step 8: lost")"));
  EXPECT_THAT(events, Not(HasSubstr("[DONE]")));
  Client early(port_);
  early.Post(kChat, kHelloStream);
  engine_.Finish(3, FinishReason::kError, "rank 0: gone");
  EXPECT_EQ(early.ReadAnswer().status, 500);
}

TEST_F(ServerTest, TellsWhyTheEngineRefuses) {
  Client client(port_);
  engine_.refusal = Refuse("too long");
  client.Post(kChat, kHello);
  EXPECT_EQ(client.ReadAnswer().status, 400);
  engine_.refusal = Unavailable("4096 requests are open already");
  client.Post(kChat, kHello);
  EXPECT_EQ(client.ReadAnswer().status, 503);
  engine_.state = EngineState::kFailed;
  client.Post(kChat, kHello);
  EXPECT_EQ(client.ReadAnswer().status, 500);
}

TEST_F(ServerTest, RefusesBadRequestsAndGoesOn) {
  Client client(port_);
  client.Post(kChat, "{\"messages\":");
  Answer answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, StartsWith(R"({"error":{"message":"request body: line 1, column 1)"));
  client.Post(kChat, R"({"messages":[{"role":"user","content":"Hi"}],"top_p":7})");
  EXPECT_EQ(client.ReadAnswer().body, R"({"error":{"message":"top_p: expected a number above 0 and at most 1, got 7",)"
                                      R"("type":"invalid_request_error","param":"top_p","code":null}})");
  client.Get(kChat);
  answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 405);
  EXPECT_THAT(answer.head, HasSubstr("Allow: POST, OPTIONS\r\n"));
  client.Get("/v1/embeddings");
  EXPECT_EQ(client.ReadAnswer().status, 404);
  client.Send("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 204);
  EXPECT_THAT(answer.head, HasSubstr("Allow: GET, HEAD, OPTIONS\r\n"));
  client.Send("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  answer = client.ReadAnswer(/*has_body=*/false);
  EXPECT_EQ(answer.status, 200);
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(ServerTest, RefusesByTheHeadAndCloses) {
  struct Case {
    std::string head;
    int status;
  };
  const std::string json = "Content-Type: application/json\r\n";
  for (const Case& c : {
           Case{"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 404},
           Case{"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 415},
           Case{"POST /v1/completions HTTP/1.1\r\nHost: evil.example\r\n" + json + "Content-Length: 5\r\n\r\n", 421},
           Case{"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + json + "Content-Length: 50000001\r\n\r\n",
                413},
           Case{"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400},
           Case{"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(40000, 'x') + "\r\n\r\n", 431},
           Case{"GET /health HTTP/9.1\r\n\r\n", 505},
           Case{"\x16\x03\x01\x02 this is TLS\r\n\r\n", 400},
       }) {
    Client client(port_);
    client.Send(c.head);
    EXPECT_EQ(client.ReadAnswer().status, c.status) << c.head.substr(0, 80);
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(ServerTest, RefusesATooLargeBodyThatIsSentAnyway) {
  Client client(port_);
  client.Send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "100000\r\n" + std::string(1 << 20, 'x') + "\r\n";
  for (int i = 0; i < 60; ++i) client.Send(chunk);
  const Answer answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 413);
  EXPECT_THAT(answer.body, HasSubstr("the request body has more than 50000000 bytes; send less"));
}

TEST_F(ServerTest, AsksForTheBodyWhereTheClientWaits) {
  Client client(port_);
  client.Send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 14\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send(R"({"prompt":[1]})");
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  Client client(port_);
  client.Post(kChat, kHello);
  client.Get("/health");
  client.Post(kChat, "{");
  engine_.Token(1, "one");
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("one"));
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("ready"));
  EXPECT_EQ(client.ReadAnswer().status, 400);
}

TEST_F(ServerTest, AnswersAClientThatOnlyListensAfterAsking) {
  Client client(port_);
  client.Get("/v1/models");
  client.HalfClose();
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ServerTest, StopLetsClientsHearTheEnd) {
  Client stream(port_);
  stream.Post(kChat, kHelloStream);
  Client idle(port_);
  idle.Get("/health");
  EXPECT_EQ(idle.ReadAnswer().status, 200);
  engine_.Token(1, "a");
  engine_.Finish(1, FinishReason::kCancelled);
  server_->Stop();
  EXPECT_THAT(stream.ReadUntil("0\r\n\r\n"), HasSubstr("the server is shutting down"));
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_FALSE(Client(port_).connected());
}

TEST_F(ServerTest, ADrainTellsHealthTakesNothingNewAndLetsAnswersEnd) {
  Client stream(port_);
  stream.Post(kChat, kHelloStream);
  engine_.Token(1, "a");
  stream.ReadUntil(R"({"content":"a"})");
  Client whole(port_);
  whole.Post(kChat, kHello);
  engine_.AwaitRequest(2);
  Client idle(port_);
  idle.Get("/health");
  EXPECT_EQ(idle.ReadAnswer().status, 200);
  EXPECT_EQ(BusyOnceItIs(2), 2u);
  server_->BeginDrain();
  idle.Get("/health");
  const Answer health = idle.ReadAnswer();
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.body, R"({"status":"draining"})");
  EXPECT_TRUE(idle.AtEnd()) << "connections end with their answers";
  Client late(port_);
  late.Post(kChat, kHello);
  const Answer refused = late.ReadAnswer();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("the server is shutting down: it ends what it has begun and takes nothing new"));
  EXPECT_THAT(refused.body, HasSubstr(R"("code":"shutting_down")"));
  engine_.Token(1, "b");
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(stream.ReadUntil("0\r\n\r\n"), HasSubstr("data: [DONE]"));
  EXPECT_TRUE(stream.AtEnd());
  EXPECT_EQ(BusyOnceItIs(1), 1u);
  engine_.Token(2, "c");
  engine_.Finish(2, FinishReason::kStop);
  EXPECT_EQ(whole.ReadAnswer().status, 200);
  EXPECT_TRUE(whole.AtEnd());
  EXPECT_EQ(BusyOnceItIs(0), 0u);
}

TEST(ServerThatKeepsAlive, SendsCommentsInStreamsThatSayNothing) {
  ScriptedEngine engine;
  Result<BoundListener> listener = BindListener("localhost", 0);
  ASSERT_TRUE(listener.ok());
  const uint16_t port = listener->port;
  Result<std::unique_ptr<Server>> server =
      Server::Start(*std::move(listener), engine.Handle(TestModel()), {.keep_alive = milliseconds(30)});
  ASSERT_TRUE(server.ok());
  Client stream(port);
  stream.Post(kChat, kHelloStream);
  EXPECT_THAT(stream.ReadUntil(":\n\n"), HasSubstr("Content-Type: text/event-stream")) << "before the first token";
  stream.ReadUntil(":\n\n");
  engine.Token(1, "a");
  stream.ReadUntil(R"({"content":"a"})");
  stream.ReadUntil(":\n\n");
  engine.Finish(1, FinishReason::kStop);
  EXPECT_THAT(stream.ReadUntil("0\r\n\r\n"), HasSubstr("data: [DONE]"));
  // An answer that is one text has no comments.
  stream.Post(kChat, kHello);
  engine.AwaitRequest(2);
  std::this_thread::sleep_for(milliseconds(100));
  engine.Token(2, "b");
  engine.Finish(2, FinishReason::kStop);
  const Answer answer = stream.ReadAnswer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, StartsWith("{"));
}

TEST(ServerWithShortWaits, EndsSlowAndSilentClients) {
  ScriptedEngine engine;
  Result<BoundListener> listener = BindListener("localhost", 0);
  ASSERT_TRUE(listener.ok());
  const uint16_t port = listener->port;
  ServeOptions options;
  options.header_timeout = options.body_timeout = options.idle_timeout = milliseconds(50);
  options.linger_timeout = options.stop_timeout = milliseconds(50);
  Result<std::unique_ptr<Server>> server = Server::Start(*std::move(listener), engine.Handle(TestModel()), options);
  ASSERT_TRUE(server.ok());
  Client silent(port);
  EXPECT_TRUE(silent.AtEnd());
  Client slow_head(port);
  slow_head.Send("GET /hea");
  EXPECT_EQ(slow_head.ReadAnswer().status, 408);
  EXPECT_TRUE(slow_head.AtEnd());
  Client slow_body(port);
  slow_body.Send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{");
  EXPECT_EQ(slow_body.ReadAnswer().status, 408);
  Client idle(port);
  idle.Get("/health");
  EXPECT_EQ(idle.ReadAnswer().status, 200);
  EXPECT_TRUE(idle.AtEnd());
  // A request that nobody ends is cancelled when the server stops.
  Client waiting(port);
  waiting.Post(kChat, kHello);
  engine.AwaitRequest(1);
  (*server)->Stop();
  EXPECT_TRUE(engine.Cancelled(1));
  EXPECT_TRUE(waiting.AtEnd());
  engine.Token(1, "after the server");  // dropped
}

TEST(ServerWithShortWaits, EndsAClientThatStopsReading) {
  ScriptedEngine engine;
  Result<BoundListener> listener = BindListener("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok());
  const uint16_t port = listener->port;
  ServeOptions options;
  options.write_timeout = milliseconds(50);
  Result<std::unique_ptr<Server>> server = Server::Start(*std::move(listener), engine.Handle(TestModel()), options);
  ASSERT_TRUE(server.ok());
  Client client(port);
  client.Post(kChat, kHelloStream);
  for (int i = 0; i < 100; ++i) engine.Token(1, std::string(1 << 17, 'x'));  // more than sockets hold
  EXPECT_TRUE(engine.AwaitCancel(1));
}

TEST(ServerWithOneConnection, LetsTheNextClientInWhenTheFirstLeaves) {
  ScriptedEngine engine;
  Result<BoundListener> listener = BindListener("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok());
  const uint16_t port = listener->port;
  ServeOptions options;
  options.max_connections = 1;
  Result<std::unique_ptr<Server>> server = Server::Start(*std::move(listener), engine.Handle(TestModel()), options);
  ASSERT_TRUE(server.ok());
  auto first = std::make_unique<Client>(port);
  first->Post(kChat, kHello);
  engine.AwaitRequest(1);
  Client second(port);
  second.Get("/health");
  first.reset();  // its request is cancelled
  EXPECT_EQ(second.ReadAnswer().status, 200);
  // An idle connection gives way; alone, it stays.
  second.Get("/health");
  EXPECT_EQ(second.ReadAnswer().status, 200);
  Client third(port);
  third.Post(kChat, kHello);
  engine.AwaitRequest(2);
  EXPECT_TRUE(second.AtEnd());
  // One that is busy does not, until it is idle again.
  Client fourth(port);
  fourth.Get("/health");
  engine.Finish(2, FinishReason::kStop);
  EXPECT_EQ(third.ReadAnswer().status, 200);
  EXPECT_EQ(fourth.ReadAnswer().status, 200);
  EXPECT_TRUE(third.AtEnd());
}

}  // namespace
}  // namespace mrs::serve
