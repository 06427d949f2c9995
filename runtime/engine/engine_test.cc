// The engine over ranks that a test scripts: what it asks of them, and what its requests hear.
#include "runtime/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <limits>

#include "formats/text/tokenizer.h"
#include "host/source_dir_for_test.h"
#include "plans/sha256.h"

namespace mrs {
namespace {

constexpr uint32_t kVocab = 16;

// One rank whose best next token is always the last one plus one; token 15 follows 14, and then 0.
class CountingRanks {
 public:
  EngineRanks calls() {
    return {.await_ready =
                [this] {
                  ready_.get_future().wait();
                  return load_;
                },
            .enqueue =
                [this](uint64_t step, const Batch& batch) {
                  under_way_.emplace_back(step, batch);
                  most_under_way = std::max(most_under_way, under_way_.size());
                  return Status();
                },
            .await = [this]() -> Result<StepOutput> {
              if (under_way_.empty()) {
                ADD_FAILURE() << "awaits what was not enqueued";
                return Unavailable("nothing is under way");
              }
              const auto [step, batch] = std::move(under_way_.front());
              under_way_.pop_front();
              return Run(step, batch);
            }};
  }
  void FinishLoading(Status status = {}) {
    load_ = std::move(status);
    ready_.set_value();
  }
  // Before step `step` is answered, `hook` runs on the engine's thread.
  void set_hook(std::function<Status(uint64_t)> hook) { hook_ = std::move(hook); }
  void set_logit(int32_t id, float value) { special_ = {id, value}; }
  size_t most_under_way = 0;
  std::vector<Batch> batches;  // in the order of their results; read after the engine has stopped

 private:
  Result<StepOutput> Run(uint64_t step, const Batch& batch) {
    batches.push_back(batch);
    if (hook_) MRS_RETURN_IF_ERROR(hook_(step));
    const size_t rows = batch.logit_rows.size();
    logits_.assign(rows * kVocab, 0.0f);
    for (size_t row = 0; row < rows; ++row) {
      const int32_t last = batch.tokens[static_cast<size_t>(batch.logit_rows[row])];
      logits_[row * kVocab + static_cast<size_t>(last + 1) % kVocab] = 5.0f;
      if (last == special_.first) logits_[row * kVocab] = special_.second;
    }
    return StepOutput{.candidates = {}, .logits = logits_};
  }

  std::deque<std::pair<uint64_t, Batch>> under_way_;
  std::promise<void> ready_;
  Status load_;
  std::function<Status(uint64_t)> hook_;
  std::pair<int32_t, float> special_{-1, 0.0f};
  std::vector<float> logits_;
};

EngineConfig Config() {
  EngineConfig config;
  config.shape = {.tp = 1, .vocab = kVocab, .vocab_padded = kVocab, .k = 0};  // k 0: never enough, so all logits
  config.limits = {.max_seqs = 2, .tokens = 8, .sequences = 2, .logit_rows = 2, .chunk = 4, .kv = {{.block_count = 8}}};
  config.max_len = 128;
  config.table_stride = 4;
  config.eos = {15};
  return config;
}

Request MakeRequest(std::vector<int32_t> prompt, uint32_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  request.sampling.logprobs = 1;
  return request;
}

// Collects the events of one request.
class Listener {
 public:
  EventHandler handler() {
    return [this](const Event& event) {
      const std::lock_guard lock(mutex_);
      if (event.token) tokens_.push_back(event.token->token.id);
      if (event.finish) {
        EXPECT_FALSE(finish_.has_value()) << "finished twice";
        finish_ = event.finish;
        changed_.notify_all();
      }
    };
  }
  FinishEvent Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finish_.has_value(); });
    return *finish_;
  }
  std::vector<int32_t> tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int32_t> tokens_;
  std::optional<FinishEvent> finish_;
};

TEST(Engine, AnswersUntilItsLengthOrEos) {
  CountingRanks ranks;
  ranks.FinishLoading();
  Engine engine(Config(), ranks.calls());
  Listener length, eos, ignored, stopped;
  ASSERT_TRUE(engine.Submit(MakeRequest({1, 2}, 3), length.handler()).ok());
  ASSERT_TRUE(engine.Submit(MakeRequest({12}, 20), eos.handler()).ok());
  Request request = MakeRequest({13}, 4);
  request.sampling.ignore_eos = true;
  ASSERT_TRUE(engine.Submit(request, ignored.handler()).ok());
  request = MakeRequest({3}, 20);
  request.sampling.stop_token_ids = {5};
  ASSERT_TRUE(engine.Submit(request, stopped.handler()).ok());

  EXPECT_EQ(length.Await().reason, FinishReason::kLength);
  EXPECT_EQ(length.tokens(), (std::vector<int32_t>{3, 4, 5}));
  EXPECT_EQ(length.Await().prompt_tokens, 2u);
  EXPECT_EQ(length.Await().completion_tokens, 3u);
  EXPECT_EQ(eos.Await().reason, FinishReason::kStop);
  EXPECT_EQ(eos.tokens(), (std::vector<int32_t>{13, 14, 15}));
  EXPECT_EQ(ignored.Await().reason, FinishReason::kLength);
  EXPECT_EQ(ignored.tokens(), (std::vector<int32_t>{14, 15, 0, 1}));
  EXPECT_EQ(stopped.Await().reason, FinishReason::kStop);
  EXPECT_EQ(stopped.tokens(), (std::vector<int32_t>{4, 5}));
}

TEST(Engine, SendsChunksWithTheirPositionsAndSlots) {
  CountingRanks ranks;
  ranks.FinishLoading();
  {
    Engine engine(Config(), ranks.calls());
    Listener listener;
    ASSERT_TRUE(engine.Submit(MakeRequest({1, 2, 3, 4, 5, 6}, 2), listener.handler()).ok());
    listener.Await();
    EXPECT_EQ(listener.tokens(), (std::vector<int32_t>{7, 8}));
  }
  ASSERT_EQ(ranks.batches.size(), 3u);
  EXPECT_EQ(ranks.batches[0].tokens, (std::vector<int32_t>{1, 2, 3, 4}));
  EXPECT_TRUE(ranks.batches[0].logit_rows.empty());
  EXPECT_EQ(ranks.batches[1].positions, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(ranks.batches[1].logit_rows, std::vector<int32_t>{1});
  EXPECT_EQ(ranks.batches[2].tokens, std::vector<int32_t>{7});
  EXPECT_EQ(ranks.batches[2].kv.at(0).slots, std::vector<int32_t>{6});
  EXPECT_EQ(ranks.batches[2].kv.at(0).block_table, (std::vector<int32_t>{0, 0, 0, 0}));
}

// A ring of two blocks: its third block of positions lies in the first again.
TEST(Engine, WritesAndReadsAWindowInItsRing) {
  CountingRanks ranks;
  ranks.FinishLoading();
  EngineConfig config = Config();
  config.limits.kv = {{.block_count = 8}, {.block_count = 2, .sequence_blocks = 2}};
  {
    Engine engine(config, ranks.calls());
    Listener listener;
    Request request = MakeRequest(std::vector<int32_t>(70, 1), 2);
    ASSERT_TRUE(engine.Submit(request, listener.handler()).ok());
    listener.Await();
  }
  const Batch& last = ranks.batches.back();
  EXPECT_EQ(last.positions, std::vector<int32_t>{70});
  ASSERT_EQ(last.kv.size(), 2u);
  EXPECT_EQ(last.kv[0].slots, std::vector<int32_t>{70});
  EXPECT_EQ(last.kv[0].block_table, (std::vector<int32_t>{0, 1, 2, 0}));
  EXPECT_EQ(last.kv[1].slots, std::vector<int32_t>{6});
  EXPECT_EQ(last.kv[1].block_table, (std::vector<int32_t>{0, 1, 0, 0}));
}

TEST(Engine, KeepsAsManyForwardsUnderWayAsThereAreStages) {
  for (const uint32_t stages : {1u, 2u, 3u}) {
    CountingRanks ranks;
    EngineConfig config = Config();
    config.limits.max_seqs = config.limits.sequences = config.limits.logit_rows = 6;
    config.limits.under_way = stages;
    std::vector<Listener> listeners(6);
    {
      Engine engine(config, ranks.calls());
      for (size_t i = 0; i < listeners.size(); ++i) {
        ASSERT_TRUE(engine.Submit(MakeRequest({static_cast<int32_t>(i)}, 4), listeners[i].handler()).ok());
      }
      ranks.FinishLoading();
      for (size_t i = 0; i < listeners.size(); ++i) {
        const auto first = static_cast<int32_t>(i);
        EXPECT_EQ(listeners[i].Await().reason, FinishReason::kLength);
        EXPECT_EQ(listeners[i].tokens(), (std::vector<int32_t>{first + 1, first + 2, first + 3, first + 4}));
      }
    }
    EXPECT_EQ(ranks.most_under_way, stages);
    for (const Batch& batch : ranks.batches) EXPECT_EQ(batch.tokens.size(), 6 / stages);
  }
}

// Its forward is still under way when it is cancelled: the result is heard by nobody, and the others go on.
TEST(Engine, CancelsWhatIsUnderWay) {
  CountingRanks ranks;
  ranks.FinishLoading();
  EngineConfig config = Config();
  config.limits.under_way = 2;
  Engine* of_hook = nullptr;
  Listener cancelled, other;
  ranks.set_hook([&](uint64_t step) {
    // While step 1 of the one request is awaited, step 2 of the other is under way.
    if (step == 1) of_hook->Cancel(2);
    return Status();
  });
  std::promise<void> go;
  EngineRanks calls = ranks.calls();
  calls.await_ready = [&] {
    go.get_future().wait();
    return Status();
  };
  Engine engine(config, calls);
  of_hook = &engine;
  ASSERT_EQ(*engine.Submit(MakeRequest({1}, 5), other.handler()), 1u);
  ASSERT_EQ(*engine.Submit(MakeRequest({5}, 5), cancelled.handler()), 2u);
  go.set_value();
  EXPECT_EQ(cancelled.Await().reason, FinishReason::kCancelled);
  EXPECT_TRUE(cancelled.tokens().empty());
  EXPECT_EQ(other.Await().reason, FinishReason::kLength);
  EXPECT_EQ(other.tokens(), (std::vector<int32_t>{2, 3, 4, 5, 6}));
  engine.Stop();
  EXPECT_GE(ranks.most_under_way, 2u);
}

// As when a signal reaches all processes: the ranks are gone when the engine is told to end. They are not asked again.
TEST(Engine, AFailureInTheEndIsPartOfIt) {
  for (const uint32_t stages : {1u, 2u}) {
    CountingRanks ranks;
    EngineConfig config = Config();
    config.limits.under_way = stages;
    Engine* of_hook = nullptr;
    size_t awaited = 0;
    ranks.set_hook([&](uint64_t) -> Status {
      ++awaited;
      of_hook->RequestStop();
      return Unavailable("rank 0 was killed");
    });
    Engine engine(config, ranks.calls());
    of_hook = &engine;
    Listener one, other;
    ASSERT_TRUE(engine.Submit(MakeRequest({1}, 5), one.handler()).ok());
    ASSERT_TRUE(engine.Submit(MakeRequest({2}, 5), other.handler()).ok());
    ranks.FinishLoading();
    EXPECT_EQ(one.Await().reason, FinishReason::kCancelled);
    EXPECT_EQ(other.Await().reason, FinishReason::kCancelled);
    engine.Stop();
    EXPECT_EQ(awaited, 1u);
    EXPECT_EQ(ranks.most_under_way, stages);
  }
}

TEST(Engine, HashesTheLogitsThatTokensWereChosenFrom) {
  CountingRanks ranks;
  ranks.FinishLoading();
  Engine engine(Config(), ranks.calls());
  Listener listener;
  Request request = MakeRequest({1, 2}, 2);
  request.sampling.logits_hash = true;
  ASSERT_TRUE(engine.Submit(request, listener.handler()).ok());
  std::vector<float> expected(2 * kVocab, 0.0f);
  expected[3] = expected[kVocab + 4] = 5.0f;
  EXPECT_EQ(listener.Await().logits_sha256, Hex(Sha256(std::as_bytes(std::span(expected)))));
}

TEST(Engine, RefusesWhatCanNeverRun) {
  CountingRanks ranks;
  ranks.FinishLoading();
  Engine engine(Config(), ranks.calls());
  const auto refusal = [&](const Request& request) {
    const Result<RequestId> id = engine.Submit(request, [](const Event&) {});
    return id.ok() ? "accepted" : id.message();
  };
  EXPECT_EQ(refusal(MakeRequest({}, 1)), "the prompt has no tokens");
  EXPECT_EQ(refusal(MakeRequest({1, 16}, 1)), "the prompt has token 16, expected 0 to 15");
  EXPECT_EQ(refusal(MakeRequest({-1}, 1)), "the prompt has token -1, expected 0 to 15");
  EXPECT_EQ(
      refusal(MakeRequest(std::vector<int32_t>(128, 1), 1)),
      "the prompt has 128 tokens, but the plan's sequences hold 128 with at least one token of answer; shorten it, "
      "or build a plan with a larger --max-len");
  Request request = MakeRequest({1}, 1);
  request.sampling.stop = {"x"};
  EXPECT_THAT(refusal(request), testing::HasSubstr("stop strings need a tokenizer"));
  request = MakeRequest({1}, 1);
  request.sampling.temperature = -1;
  EXPECT_THAT(refusal(request), testing::HasSubstr("temperature is -1"));
}

TEST(Engine, CapsTheAnswerToWhatFits) {
  CountingRanks ranks;
  ranks.FinishLoading();
  Engine engine(Config(), ranks.calls());
  Listener listener;
  Request request = MakeRequest(std::vector<int32_t>(120, 1), 1000);
  request.sampling.ignore_eos = true;
  ASSERT_TRUE(engine.Submit(request, listener.handler()).ok());
  EXPECT_EQ(listener.Await().completion_tokens, 8u);
  EXPECT_EQ(listener.Await().reason, FinishReason::kLength);
}

TEST(Engine, QueuesWhileLoadingAndMoreThanItsSeats) {
  CountingRanks ranks;
  Engine engine(Config(), ranks.calls());
  std::vector<Listener> listeners(7);
  for (Listener& listener : listeners) {
    ASSERT_TRUE(engine.Submit(MakeRequest({1}, 5), listener.handler()).ok());
  }
  EXPECT_EQ(engine.state(), EngineState::kLoading);
  ranks.FinishLoading();
  for (Listener& listener : listeners) {
    EXPECT_EQ(listener.Await().reason, FinishReason::kLength);
    EXPECT_EQ(listener.tokens(), (std::vector<int32_t>{2, 3, 4, 5, 6}));
  }
  EXPECT_EQ(engine.state(), EngineState::kReady);
}

// A request's prompts share its lists and, once one of them runs, the automaton of its stop strings.
TEST(Engine, BuildsNothingForRequestsThatWait) {
  const Result<text::Tokenizer> tokenizer = text::LoadTokenizer(SourceDir() + "/models/mini/tokenizer.json");
  ASSERT_TRUE(tokenizer.ok());
  EngineConfig config = Config();
  config.tokenizer = &*tokenizer;
  CountingRanks ranks;
  ranks.FinishLoading();
  std::promise<void> submitted;
  const StopStrings running = {"☃☃"}, waiting = {"☃☃☃"};
  ranks.set_hook([&, once = false](uint64_t step) mutable {
    if (!once) submitted.get_future().wait();
    once = true;
    EXPECT_TRUE(step > 5 || !waiting.is_built()) << "step " << step;
    EXPECT_TRUE(step == 1 || running.is_built());
    return Status();
  });
  Engine engine(config, ranks.calls());
  std::vector<Listener> listeners(6);
  for (size_t i = 0; i < listeners.size(); ++i) {
    Request request = MakeRequest({1}, 5);  // two seats: the first two take five steps
    request.sampling.ignore_eos = true;
    request.sampling.stop = i < 2 ? running : waiting;
    ASSERT_TRUE(engine.Submit(request, listeners[i].handler()).ok());
  }
  submitted.set_value();
  for (Listener& listener : listeners) EXPECT_EQ(listener.Await().reason, FinishReason::kLength);
  EXPECT_TRUE(waiting.is_built());
}

TEST(Engine, BoundsWhatIsOpenInAll) {
  EngineConfig config = Config();
  config.max_open_requests = 3;
  config.max_open_prompt_tokens = 8;
  CountingRanks ranks;
  Engine engine(config, ranks.calls());
  std::vector<Listener> listeners(3);
  ASSERT_TRUE(engine.Submit(MakeRequest(std::vector<int32_t>(7, 1), 1), listeners[0].handler()).ok());
  const Result<RequestId> long_one = engine.Submit(MakeRequest({1, 2}, 1), [](const Event&) {});
  ASSERT_FALSE(long_one.ok());
  EXPECT_EQ(long_one.error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(long_one.message(), "7 tokens of prompts are open already; try again when some requests have finished");
  ranks.FinishLoading();
  listeners[0].Await();
  // Its tokens are free again, and a prompt that is alone may be as long as the plan lets it be.
  Listener alone;
  Result<RequestId> id = Unavailable("");
  while (!(id = engine.Submit(MakeRequest(std::vector<int32_t>(20, 1), 100), alone.handler())).ok()) {
    std::this_thread::yield();  // until the engine's thread has removed the first
  }
  engine.Cancel(*id);
  alone.Await();
}

TEST(Engine, BoundsTheNumberOfOpenRequests) {
  EngineConfig config = Config();
  config.max_open_requests = 3;
  CountingRanks ranks;
  Engine engine(config, ranks.calls());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(engine.Submit(MakeRequest({1}, 1), [](const Event&) {}).ok());
  const Result<RequestId> fourth = engine.Submit(MakeRequest({1}, 1), [](const Event&) {});
  ASSERT_FALSE(fourth.ok());
  EXPECT_EQ(fourth.message(), "3 requests are open already; try again when some have finished");
  ranks.FinishLoading();
}

TEST(Engine, CancelEndsARequestAndItsNeighbourGoesOn) {
  CountingRanks ranks;
  ranks.FinishLoading();
  Listener first, second;
  RequestId id = 0;
  std::promise<void> submitted;
  Engine* of_hook = nullptr;
  ranks.set_hook([&, once = false](uint64_t step) mutable {
    if (!once) submitted.get_future().wait();
    once = true;
    if (step == 3) of_hook->Cancel(id);
    return Status();
  });
  Engine engine(Config(), ranks.calls());
  of_hook = &engine;
  Request endless = MakeRequest({1}, 100);
  endless.sampling.ignore_eos = true;
  const Result<RequestId> submitted_id = engine.Submit(endless, first.handler());
  ASSERT_TRUE(submitted_id.ok());
  id = *submitted_id;
  ASSERT_TRUE(engine.Submit(MakeRequest({2}, 9), second.handler()).ok());
  submitted.set_value();
  EXPECT_EQ(first.Await().reason, FinishReason::kCancelled);
  EXPECT_EQ(first.tokens().size(), 3u);
  EXPECT_EQ(second.Await().reason, FinishReason::kLength);
}

TEST(Engine, AFailureEndsEveryRequestAndRefusesNewOnes) {
  CountingRanks ranks;
  ranks.FinishLoading();
  std::promise<void> both;
  ranks.set_hook([&, once = false](uint64_t step) mutable -> Status {
    if (!once) both.get_future().wait();
    once = true;
    if (step == 4) return Unavailable("rank 1 (pid 5) was killed by signal 9 at step {}", step);
    return Status();
  });
  std::promise<std::string> failed;
  Engine engine(Config(), ranks.calls(), [&](const std::string& why) { failed.set_value(why); });
  std::vector<Listener> listeners(3);  // one of them waits for a seat
  Request endless = MakeRequest({1}, 100);
  endless.sampling.ignore_eos = true;
  for (Listener& listener : listeners) ASSERT_TRUE(engine.Submit(endless, listener.handler()).ok());
  both.set_value();
  for (Listener& listener : listeners) {
    EXPECT_EQ(listener.Await().reason, FinishReason::kError);
    EXPECT_EQ(listener.Await().error, "rank 1 (pid 5) was killed by signal 9 at step 4");
  }
  EXPECT_EQ(failed.get_future().get(), "rank 1 (pid 5) was killed by signal 9 at step 4");
  const Result<RequestId> late = engine.Submit(endless, [](const Event&) {});
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(late.message(), "rank 1 (pid 5) was killed by signal 9 at step 4");
  EXPECT_EQ(engine.state(), EngineState::kFailed);
}

TEST(Engine, AFailureWhileIdleOrLoadingIsHeardToo) {
  CountingRanks ranks;
  Listener listener;
  std::promise<std::string> failed;
  Engine engine(Config(), ranks.calls(), [&](const std::string& why) { failed.set_value(why); });
  ASSERT_TRUE(engine.Submit(MakeRequest({1}, 1), listener.handler()).ok());
  ranks.FinishLoading(Unavailable("rank 0 was killed while loading weights"));
  EXPECT_EQ(listener.Await().error, "rank 0 was killed while loading weights");
  EXPECT_EQ(failed.get_future().get(), "rank 0 was killed while loading weights");

  CountingRanks idle_ranks;
  idle_ranks.FinishLoading();
  std::promise<std::string> idle_failed;
  Engine idle(Config(), idle_ranks.calls(), [&](const std::string& why) { idle_failed.set_value(why); });
  idle.Fail("rank 1 was killed");
  EXPECT_EQ(idle_failed.get_future().get(), "rank 1 was killed");
  idle.Stop();
  EXPECT_EQ(idle.state(), EngineState::kFailed);
}

TEST(Engine, NotANumberFailsItsOwnRequestOnly) {
  CountingRanks ranks;
  ranks.set_logit(7, std::numeric_limits<float>::quiet_NaN());
  ranks.FinishLoading();
  Engine engine(Config(), ranks.calls());
  Listener bad, good;
  ASSERT_TRUE(engine.Submit(MakeRequest({6}, 5), bad.handler()).ok());
  ASSERT_TRUE(engine.Submit(MakeRequest({8}, 5), good.handler()).ok());
  EXPECT_EQ(bad.Await().reason, FinishReason::kError);
  EXPECT_THAT(bad.Await().error, testing::HasSubstr("logits are not finite"));
  EXPECT_EQ(bad.tokens(), std::vector<int32_t>{7});
  EXPECT_EQ(good.Await().reason, FinishReason::kLength);
}

TEST(Engine, StopCancelsWhatIsOpen) {
  CountingRanks ranks;
  Listener listener;
  Engine engine(Config(), ranks.calls());
  ASSERT_TRUE(engine.Submit(MakeRequest({1}, 100), listener.handler()).ok());
  engine.RequestStop();
  EXPECT_EQ(engine.state(), EngineState::kStopping);
  ranks.FinishLoading();
  engine.Stop();
  EXPECT_EQ(engine.state(), EngineState::kStopping);
  engine.Fail("its ranks have ended");  // as they should
  EXPECT_EQ(engine.state(), EngineState::kStopping);
  EXPECT_EQ(listener.Await().reason, FinishReason::kCancelled);
  EXPECT_EQ(engine.Submit(MakeRequest({1}, 1), [](const Event&) {}).message(), "the server is shutting down");
}

// There was no memory for a step: every request hears that, and the engine has failed.
TEST(Engine, TurnsWhatAStepThrowsIntoItsFailure) {
  CountingRanks ranks;
  ranks.FinishLoading();
  ranks.set_hook([](uint64_t) -> Status { throw std::bad_alloc(); });
  std::promise<std::string> failed;
  Engine engine(Config(), ranks.calls(), [&](const std::string& why) { failed.set_value(why); });
  Listener listener;
  ASSERT_TRUE(engine.Submit(MakeRequest({1}, 5), listener.handler()).ok());
  EXPECT_EQ(failed.get_future().get(), "out of memory");
  EXPECT_EQ(listener.Await().error, "out of memory");
  EXPECT_EQ(engine.state(), EngineState::kFailed);
}

// There was no memory for one token of one request: that one ends with its error, the other goes on.
TEST(Engine, TurnsWhatATokenThrowsIntoItsRequestsFailure) {
  CountingRanks ranks;
  ranks.FinishLoading();
  Engine engine(Config(), ranks.calls());
  Listener hit, spared;
  const EventHandler handler = [inner = hit.handler(), count = 0](const Event& event) mutable {
    if (++count == 2) throw std::bad_alloc();
    inner(event);
  };
  ASSERT_TRUE(engine.Submit(MakeRequest({1}, 5), handler).ok());
  ASSERT_TRUE(engine.Submit(MakeRequest({5}, 5), spared.handler()).ok());
  const FinishEvent finish = hit.Await();
  EXPECT_EQ(finish.reason, FinishReason::kError);
  EXPECT_EQ(finish.error, "step 2: out of memory");
  EXPECT_EQ(spared.Await().reason, FinishReason::kLength);
  EXPECT_EQ(spared.tokens(), (std::vector<int32_t>{6, 7, 8, 9, 10}));
}

}  // namespace
}  // namespace mrs
