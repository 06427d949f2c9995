// What clients together may hold of a server, and for how long: by counted bytes, with small limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "runtime/serve/api_test_model.h"
#include "runtime/serve/server.h"
#include "runtime/serve/server_test_peers.h"

namespace mrs::serve {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kHello = R"({"messages":[{"role":"user","content":"Hi"}]})";
constexpr const char* kHelloStream = R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})";
constexpr const char* kPostHead =
    "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ";

class ServerBudgetTest : public testing::Test {
 protected:
  void Start(const ServeOptions& options, const ServedModel& model = TestModel()) {
    Result<BoundListener> listener = BindListener("127.0.0.1", 0);
    ASSERT_TRUE(listener.ok()) << listener.message();
    port_ = listener->port;
    Result<std::unique_ptr<Server>> server = Server::Start(*std::move(listener), engine_.Handle(model), options);
    ASSERT_TRUE(server.ok()) << server.message();
    server_ = *std::move(server);
  }
  // Whether it comes to be so.
  bool Await(const std::function<bool(const ServeUsage&)>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition(server_->usage())) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  // A template that keeps the translating thread busy for as long as one may.
  static ServedModel SlowModel() {
    ServedModel model = TestModel();
    model.chat_template = "{% for i in range(1000) %}{% for j in range(500) %}{% endfor %}{% endfor %}Hi";
    return model;
  }

  ScriptedEngine engine_;
  uint16_t port_ = 0;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerBudgetTest, BodiesShareABudget) {
  ServeOptions options;
  options.free_bytes = 100;
  options.max_all_body_bytes = 1500;
  Start(options);
  Client first(port_);
  first.Send(kPostHead + std::string("900\r\n\r\n"));
  first.Send(std::string(700, ' '));
  ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.body_bytes >= 600; }));
  Client second(port_);
  second.Send(kPostHead + std::string("2000\r\n\r\n"));
  second.Send(std::string(1200, ' '));
  const Answer refused = second.ReadAnswer();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(refused.body, HasSubstr("bytes, as many as are held at once; try again"));
  EXPECT_THAT(refused.body, HasSubstr(R"("code":"overloaded")"));
  EXPECT_TRUE(second.AtEnd());
  // What is small is let in all the same.
  Client small(port_);
  small.Post("/v1/completions", R"({"prompt":[1]})");
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_EQ(small.ReadAnswer().status, 200);
  const std::string body = R"({"prompt":[2]})";
  first.Send(body + std::string(200 - body.size(), ' '));
  engine_.Finish(2, FinishReason::kStop);
  EXPECT_EQ(first.ReadAnswer().status, 200);
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.body_bytes == 0; }));
  EXPECT_LE(server_->usage().body_peak_bytes, 1500u);
}

// Many large bodies at once, each in turns of 64 KB: all arrive whole.
TEST_F(ServerBudgetTest, LargeBodiesComeInTurns) {
  ServeOptions options;
  options.free_bytes = 100;
  Start(options);
  constexpr size_t kBytes = size_t{1} << 20;
  std::vector<std::thread> threads;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, &answered] {
      Client client(port_);
      const std::string body = R"({"prompt":[1,2]})";
      client.Post("/v1/completions", std::string(kBytes, ' ') + body);
      client.HalfClose();
      if (client.ReadUntil("\r\n\r\n").starts_with("HTTP/1.1 100")) client.ReadUntil("\r\n\r\n");
      answered += client.ReadUntil("}]").find("text_completion") != std::string::npos;
    });
  }
  for (RequestId id = 1; id <= 8; ++id) engine_.Finish(id, FinishReason::kStop);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 8);
  EXPECT_GE(server_->usage().body_peak_bytes, kBytes - 100);
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.body_bytes == 0; }));
}

// A client that only says how long its body will be holds nothing.
TEST_F(ServerBudgetTest, AContentLengthTakesNoMemory) {
  ServeOptions options;
  options.max_all_body_bytes = 1 << 20;
  Start(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    clients.back()->Send(kPostHead + std::string("50000000\r\n\r\n{"));
  }
  Client client(port_);
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_EQ(server_->usage().body_peak_bytes, 0u);
}

// The client of the translation under way leaves, and so do those that wait behind it.
TEST_F(ServerBudgetTest, TranslationEndsWhenItsClientLeaves) {
  ServeOptions options;
  options.free_bytes = 0;
  Start(options, SlowModel());
  // In case that one is done before the server hears of the leave.
  for (int round = 0; round < 20 && server_->usage().given_up == 0; ++round) {
    const uint64_t before = server_->usage().translated;
    auto first = std::make_unique<Client>(port_);
    first->Post(kChat, kHello);
    ASSERT_TRUE(Await([&](const ServeUsage& usage) { return usage.translated == before + 1; }));
    std::vector<std::unique_ptr<Client>> behind;
    for (int i = 0; i < 10; ++i) {
      behind.push_back(std::make_unique<Client>(port_));
      behind.back()->Post(kChat, kHello);
    }
    ASSERT_TRUE(Await([&](const ServeUsage& usage) { return usage.connections == 11; }));
    for (auto& client : behind) client->Reset();
    ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 1; }));
    first->Reset();
    ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 0; }));
    EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.body_bytes == 0; }));
    EXPECT_LT(server_->usage().translated, before + 11) << "those that waited were translated, too";
  }
  EXPECT_GE(server_->usage().given_up, 1u);
}

// A small request waits for one large translation at most.
TEST_F(ServerBudgetTest, SmallRequestsPassLargeOnes) {
  ServeOptions options;
  options.free_bytes = 200;
  Start(options, SlowModel());
  const std::string large = kHello + std::string(1000, ' ');
  Client first(port_), second(port_), small(port_);
  first.Post(kChat, large);
  ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.translated == 1; }));
  second.Post(kChat, large);
  ASSERT_TRUE(Await([&](const ServeUsage& usage) { return usage.body_bytes >= 2 * (large.size() - 200); }));
  small.Post("/v1/completions", R"({"prompt":[7]})");
  EXPECT_EQ(engine_.AwaitRequest(2).prompt, std::vector<int32_t>{7});
  engine_.AwaitRequest(3);
}

TEST_F(ServerBudgetTest, TranslationEndsWhenTheServerStops) {
  Start({}, SlowModel());
  Client client(port_);
  client.Post(kChat, kHello);
  ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.translated == 1; }));
  engine_.refusal = Unavailable("the server is shutting down");  // in case that it was done before
  engine_.state = EngineState::kStopping;
  server_->Stop();
  const Answer answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr(R"("code":"shutting_down")"));
  EXPECT_THAT(answer.head, Not(HasSubstr("Retry-After")));
}

TEST_F(ServerBudgetTest, ReadsAheadNoFurtherThanItMay) {
  ServeOptions options;
  options.max_read_ahead_bytes = 1000;
  Start(options);
  Client client(port_);
  client.Post(kChat, kHello);
  engine_.AwaitRequest(1);
  const std::string request = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(8000, 'x') + "\r\n\r\n";
  size_t sent = 0;
  constexpr size_t kFar = size_t{24} << 20;  // the kernel's buffers hold a few megabytes
  while (sent < kFar && client.SendWithin(request, std::chrono::seconds(1))) sent += request.size();
  EXPECT_LT(sent, kFar);
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_EQ(client.ReadAnswer().status, 200);  // of the first /health: it was waiting, not lost
}

TEST_F(ServerBudgetTest, ListensToARefusedClientNoFurtherThanItMay) {
  ServeOptions options;
  options.max_linger_bytes = 100'000;
  options.linger_timeout = std::chrono::minutes(10);
  Start(options);
  Client client(port_);
  client.Send("POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 49000000\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 404);
  const std::string part(1 << 20, 'x');
  size_t sent = 0;
  while (sent < 80 * part.size() && client.SendWithin(part, kPatience)) sent += part.size();
  EXPECT_LT(sent, 80 * part.size());
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 0; }));
}

// A client that ends its side may still listen. One that has gone shows when it is spoken to, before its large body is
// translated.
TEST_F(ServerBudgetTest, AClientThatClosedIsNotTranslatedFor) {
  ServeOptions options;
  options.free_bytes = 200;
  Start(options, SlowModel());
  const std::string large = kHello + std::string(1000, ' ');
  for (int round = 0; round < 20 && server_->usage().given_up == 0; ++round) {
    const uint64_t before = server_->usage().translated;
    auto first = std::make_unique<Client>(port_);
    first->Post(kChat, large);
    ASSERT_TRUE(Await([&](const ServeUsage& usage) { return usage.translated == before + 1; }));
    first.reset();
    ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 0; }));
  }
  EXPECT_GE(server_->usage().given_up, 1u);
  Client half(port_);
  half.Post(kChat, large);
  half.HalfClose();
  engine_.Finish(engine_.last_id() + 1, FinishReason::kStop);
  EXPECT_THAT(half.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 100 Continue\r\n"));
  EXPECT_THAT(half.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

// Its side of the connection is over, so there is no next request to wait for.
TEST_F(ServerBudgetTest, AnEndedClientKeepsNoSeat) {
  ServeOptions options;
  options.idle_timeout = std::chrono::minutes(10);
  Start(options);
  Client client(port_);
  client.Post(kChat, kHello);
  engine_.AwaitRequest(1);
  client.HalfClose();
  // The head comes before the answer is known: the server has heard of the end, and looks whether anybody listens.
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(client.ReadChunks(), HasSubstr("chat.completion"));
  EXPECT_TRUE(client.AtEnd());
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 0; }));
}

TEST_F(ServerBudgetTest, EndsAStreamThatIsTooFarBehind) {
  for (const bool of_all : {false, true}) {
    ServeOptions options;
    options.write_timeout = std::chrono::minutes(10);
    options.max_backlog_bytes = of_all ? size_t{1} << 30 : size_t{1} << 20;
    options.max_all_backlog_bytes = of_all ? size_t{1} << 20 : size_t{1} << 30;
    Start(options);
    Client client(port_);
    client.Post(kChat, kHelloStream);
    const RequestId id = of_all ? 2 : 1;
    for (int i = 0; i < 300; ++i) engine_.Token(id, std::string(1 << 17, 'x'));  // more than sockets hold
    EXPECT_TRUE(engine_.AwaitCancel(id));
    EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.backlog_bytes == 0; }));
    EXPECT_LE(server_->usage().backlog_peak_bytes, of_all ? size_t{1} << 20 : SIZE_MAX);
  }
}

TEST_F(ServerBudgetTest, KeptAnswersShareABudget) {
  ServeOptions options;
  options.max_all_answer_bytes = 100'000;
  Start(options);
  Client first(port_);
  first.Post(kChat, kHello);
  engine_.Token(1, std::string(60'000, 'x'));
  ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.answer_bytes >= 59'000; }));
  Client second(port_);
  second.Post(kChat, kHello);
  engine_.Token(2, std::string(60'000, 'y'));
  const Answer refused = second.ReadAnswer();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(refused.body, HasSubstr("try again, ask for less, or stream"));
  EXPECT_TRUE(engine_.AwaitCancel(2));
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(first.ReadLongAnswer(), HasSubstr(std::string(60'000, 'x')));
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.answer_bytes == 0; }));
  EXPECT_LE(server_->usage().answer_peak_bytes, 100'000u);
}

// A long answer is made as its client takes it, while others are served; then the connection goes on.
TEST_F(ServerBudgetTest, WritesALongAnswerInPieces) {
  ServeOptions options;
  options.trim_bytes = 1 << 20;
  Start(options);
  Client client(port_);
  client.Post(kChat, kHello);
  for (int i = 0; i < 100; ++i) engine_.Token(1, std::string(1 << 17, static_cast<char>('a' + i % 26)));
  engine_.Finish(1, FinishReason::kStop);
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Type: application/json\r\n"));
  Client other(port_);
  other.Get("/health");
  EXPECT_EQ(other.ReadAnswer().status, 200);
  EXPECT_GT(server_->usage().answer_bytes, size_t{100} << 17) << "most of it is not written yet";
  const Json response = *ParseJson(client.ReadChunks(), "response");
  const std::string text = response["choices"][0]["message"]["content"];
  ASSERT_EQ(text.size(), size_t{100} << 17);
  EXPECT_EQ(text.substr((size_t{27} << 17) - 1, 2), "ab");
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.answer_bytes == 0; }));
  EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.trims >= 2; })) << "once more when all is quiet";
}

TEST_F(ServerBudgetTest, EndsALongAnswerToHttp10WithTheConnection) {
  Start({});
  Client client(port_);
  client.Send("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n" +
              std::string(R"({"prompt":[1]})"));
  engine_.Token(1, std::string(100'000, 'x'));
  engine_.Finish(1, FinishReason::kStop);
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), Not(HasSubstr("chunked")));
  EXPECT_THAT(client.ReadUntil("\"total_tokens\":3}}"), HasSubstr(std::string(100'000, 'x')));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ServerBudgetTest, SilentConnectionsGiveWayFirst) {
  ServeOptions options;
  options.max_connections = 3;
  options.header_timeout = options.idle_timeout = std::chrono::minutes(10);
  Start(options);
  Client idle(port_);
  idle.Get("/health");
  EXPECT_EQ(idle.ReadAnswer().status, 200);
  Client silent(port_), also_silent(port_);
  ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 3; }));
  Client client(port_);
  client.Get("/health");
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_TRUE(silent.AtEnd());
  idle.Get("/health");
  EXPECT_EQ(idle.ReadAnswer().status, 200);
  Client another(port_);
  another.Get("/health");
  EXPECT_EQ(another.ReadAnswer().status, 200);
  EXPECT_TRUE(also_silent.AtEnd());
}

// The last descriptor is the client's: that there is none for a next one, who is not there, does not end it.
TEST_F(ServerBudgetTest, TheLastDescriptorServes) {
  Start({});
  const int first = dup(0);
  const int second = dup(0);  // the two lowest that are free
  close(first);
  close(second);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit no_more{.rlim_cur = static_cast<rlim_t>(second) + 1, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &no_more), 0);
  {
    Client client(port_);  // its end takes one, the server's the other
    EXPECT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 1; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    client.Get("/health");
    EXPECT_EQ(client.ReadAnswer().status, 200);
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(ServerBudgetTest, HalfARequestGivesWayToo) {
  ServeOptions options;
  options.max_connections = 2;
  options.header_timeout = options.body_timeout = std::chrono::minutes(10);
  Start(options);
  Client head(port_), body(port_);
  head.Send("G");
  body.Send(kPostHead + std::string("900\r\n\r\n{"));
  ASSERT_TRUE(Await([](const ServeUsage& usage) { return usage.connections == 2; }));
  for (int i = 0; i < 10; ++i) {
    Client client(port_);
    client.Get("/health");
    EXPECT_EQ(client.ReadAnswer().status, 200);
  }
  EXPECT_TRUE(head.AtEnd());
}

}  // namespace
}  // namespace mrs::serve
