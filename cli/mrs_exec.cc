// mrs-exec: runs a plan. Serves it over HTTP, or answers the prompts of the command line and ends.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/answer_once.h"
#include "cli/chat.h"
#include "cli/command_line.h"
#include "cli/doctor_verb.h"
#include "cli/exec_options.h"
#include "cli/front.h"
#include "cli/node_seat.h"
#include "cli/rehearse.h"
#include "cli/run_node.h"
#include "cli/session.h"
#include "host/output.h"
#include "host/process.h"
#include "runtime/comm/fd.h"
#include "runtime/world/rank_main.h"

namespace {

using mrs::Error;
using mrs::ErrorKind;
using mrs::Fail;
using mrs::Fd;
using mrs::Result;
using mrs::cli::ExecOptions;

constexpr const char* kExamples = R"(Examples:
  mrs-exec --plan x.mrsplan                        serve it; the weights lie beside the plan
  mrs-exec --plan x.mrsplan --model /models/mini --port 8080 --transport shm
  mrs-exec --plan x.mrsplan --prompt "Once upon a time" --max-tokens 40
  mrs-exec --plan x.mrsplan -i                     a conversation in the terminal; Ctrl-C stops an answer
  mrs-exec --plan x.mrsplan --prompt-ids 1,2,3 --prompt-ids 7,8 --json   a batch; one JSON line each
  mrs-exec --plan x.mrsplan --rehearse             without weights: links, programs, times; for CI and init containers
  mrs-exec --plan x.mrsplan --node 1 --cluster-secret-file secret   of a plan for several nodes, the second; each has one
  RING_CONFIG=r1.json mrs-exec --plan x.mrsplan    rank 1 of a ring, as its file says; rank 0 serves
  mrs-exec doctor                                  what this host has, judged; --json for mrs-plan cluster import

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
MRS_ISA=reference|avx2|avx512|avx512bf16|amx keeps to that instruction set; the tokens stay the same.)";

constexpr std::string_view kDevicesByPlan =
    "the plan decides it: build one with mrs-plan build --gpus or --cluster FILE, and --devices for some of them";
constexpr std::string_view kNoKey = "not there yet: the server binds 127.0.0.1 only and asks for no key; leave it out";
constexpr std::string_view kByPlan =
    "the plan decides it: build one with mrs-plan build --tp N, --pp N and --cluster FILE";

// What users of other servers try, and what is to come.
constexpr mrs::cli::Elsewhere kElsewhere[] = {
    {"--api-key-file --no-auth --auth", kNoKey},
    {"--gpus --gpu --num-gpus --device --devices --device-ids --cuda", kDevicesByPlan},
    {"-n --num-device-layers --device-layers --nodes --nnodes --num-nodes", kByPlan},
    {"--node-rank", "use --node K"},
    {"--master-addr --master-address", "use --head ADDRESS[:PORT]"},
    {"--master-port --rendezvous-port", "use --cluster-port N"},
    {"--pp -pp --pipeline-parallel-size --dp -dp --data-parallel-size --ep --enable-expert-parallel", kByPlan},
    {"--tp -tp --tensor-parallel-size", "the plan decides it: build one with mrs-plan build --tp N"},
    {"--max-len --max-model-len --max-seq-len --ctx-size -c",
     "the plan decides it: build one with mrs-plan build --max-len N"},
    {"--max-seqs --max-num-seqs --parallel", "the plan decides it: build one with mrs-plan build --max-seqs N"},
    {"--max-batch-size --max-num-batched-tokens", "use --chunk N; the plan's --max-seqs bounds the rest"},
    {"--memory --gpu-memory-utilization --kv-cache-memory-bytes --pa-gpu-mem",
     "the plan decides it: build one with mrs-plan build --memory BYTES"},
    {"--dtype -d", "the plan decides it: build one with mrs-plan build --dtype TYPE"},
    {"--numerics --reduction", "the plan decides it: give it to mrs-plan build"},
    {"--name --served-model-name --alias -a", "the plan decides it: build one with mrs-plan build --name NAME"},
    {"--timeout",
     "use --hang-timeout SECONDS: a rank that works is never cut off, however slow; one that lives and does not get on "
     "is"},
    {"--quantization -q --isq --in-situ-quant --load-format", "not there yet: quantized weights"},
    {"--chat-template -j --jinja-explicit --tokenizer --tok-model-id", "the plan and the model folder decide it"},
    {"-m --model-id --model-path", "use --model DIR, with --plan x.mrsplan"},
    {"-p", "use --port N, or --prompt TEXT"},
    {"--ip --address --serve-ip --bind", "use --host; for now it is 127.0.0.1 only"},
    {"--tls --ssl-keyfile --ssl-certfile --tls-key --tls-cert",
     "not there yet: the server speaks plain HTTP to this host"},
    {"--metrics --admin --enable-prefix-caching --no-prefix-caching --lora --enable-lora --lora-modules "
     "--speculative-config --draft-model --kv-cache-dtype",
     "not there yet; leave it out"},
    {"--min-p --presence-penalty --frequency-penalty --repetition-penalty --logit-bias --logprobs --stop-token-ids",
     "not there yet on the command line; ask over HTTP"},
    {"--trust-remote-code", "no code of a model is ever run; leave it out"},
    {"serve run server", "leave the word out: mrs-exec --plan x.mrsplan serves"},
    {"chat", "use -i"},
    {"bench", "not there yet"},
    {"doctor", "the verb comes first: mrs-exec doctor [--json]"},
    {"build plan inspect verify", "that is a verb of mrs-plan"},
};

void RegisterOnce(mrs::cli::CommandLine& line, ExecOptions* options) {
  CLI::App& app = line.app;
  mrs::SamplingParams* const sampling = &options->sampling;
  const char* once = "Answering once";
  app.add_option("--prompt", options->prompts,
                 "Continue this text and exit; repeat it for a batch. The answer starts with a space where the text's "
                 "next word does")
      ->allow_extra_args(false)
      ->group(once);
  AddChecked(line, app, "--prompt-ids", "token ids like 1,2,3", "The same with token ids: 1,2,3",
             [options](const std::string& text) {
               std::optional<std::vector<int32_t>> ids = mrs::cli::ReadIds(text);
               if (ids.has_value()) options->prompt_ids.push_back(*std::move(ids));
               return ids.has_value();
             })
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false)
      ->group(once);
  AddNumber<uint32_t>(line, app, "--max-tokens", &sampling->max_tokens, 1, INT32_MAX, "Tokens of the answer, at most")
      ->default_str(fmt::format("{}", sampling->max_tokens))
      ->group(once);
  AddNumber<float>(line, app, "--temperature", &sampling->temperature, 0, 100, "0: always the most probable token")
      ->default_str(fmt::format("{}", sampling->temperature))
      ->group(once);
  AddNumber<uint32_t>(line, app, "--top-k", &sampling->top_k, 0, INT32_MAX, "Draw from the best k tokens; 0: from all")
      ->group(once);
  AddNumber<float>(line, app, "--top-p", &sampling->top_p, 0, 1,
                   "Draw from the best tokens that make up this probability", /*above_min=*/true)
      ->group(once);
  AddNumber<uint64_t>(line, app, "--seed", &sampling->seed, 0, UINT64_MAX, "The same seed gives the same answer")
      ->default_str(fmt::format("{}", sampling->seed))
      ->group(once);
  AddChecked(line, app, "--stop", "a text of at least one byte", "End before this text; repeatable",
             [sampling, options](const std::string& text) {
               options->stops.push_back(text);
               sampling->stop = options->stops;
               return !text.empty();
             })
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false)
      ->group(once);
  app.add_flag("--ignore-eos", sampling->ignore_eos, "Go on after the end-of-sequence token")->group(once);
  AddText(line, app, "--logits-out", &options->logits_out, "a file name",
          "Write all logits here: f32 rows, the last prompt position's, then each step's; of several prompts, FILE.0, "
          "FILE.1, ...")
      ->group(once);
  app.add_flag("--json", options->json, "One JSON line a prompt: text, token_ids, logprobs, logits_sha256, ...")
      ->group(once);
}

void Register(mrs::cli::CommandLine& line, ExecOptions* options) {
  CLI::App& app = line.app;
  AddText(line, app, "--plan", &options->plan_path, "a file name", "The plan, made by mrs-plan build")->required();
  AddText(line, app, "--model", &options->model_dir, "a folder",
          "Folder of the plan's weight files and tokenizer; {rank} in it stands for the rank's number [the plan's "
          "folder, or the current one]");
  AddChoice(line, app, "--transport", &options->transport, {"auto", "local", "shm", "tcp", "ring"},
            "How ranks talk: auto, local (threads; CPUs), shm, tcp, or ring (tcp between neighbours alone)");
  AddNumber<uint32_t>(line, app, "--threads", &options->threads, 1, 1024,
                      "Threads of each rank [the host's cores over the ranks]");
  AddNumber<uint32_t>(line, app, "--chunk", &options->chunk, 1, 1 << 20, "Prompt tokens of one sequence in one forward")
      ->default_str(fmt::format("{}", options->chunk));
  AddChoice(line, app, "--cuda-graphs", &options->cuda_graphs, {"on", "off"},
            "On GPUs, run decodes as CUDA graphs; the answers are the same");
  AddChoice(
      line, app, "--dependent-launch", &options->dependent_launch, {"on", "off"},
      "On GPUs from sm_90 on, let kernels fetch weights before the one before them has ended; the answers are the "
      "same");
  app.add_flag("--no-nccl", options->no_nccl, "Refuse a plan whose GPUs talk by NCCL [MISTRALRS_NO_NCCL=1]");
  AddNumber<double>(
      line, app, "--hang-timeout", &options->hang_timeout_s, 0.1, 86400.0,
      "Seconds that a rank may live without getting on, however slowly; one without a sign of life is lost "
      "after 4")
      ->default_str(fmt::format("{}", options->hang_timeout_s));
  app.add_flag("--quiet", options->quiet, "Do not print the layout");
  AddText(line, app, "--host", &options->host, "a host name or address", "Address to serve on")->group("Serving");
  AddNumber<uint16_t>(line, app, "--port", &options->port, 0, 65535, "Port to serve on; 0: any free one")
      ->default_str(fmt::format("{}", options->port))
      ->group("Serving");
  AddNumber<uint32_t>(line, app, "--drain", &options->drain_s, 0, 86400,
                      "Seconds for the answers under way after SIGTERM; meanwhile /health says 503 and nothing new is "
                      "taken. A second signal ends at once")
      ->default_str(fmt::format("{}", options->drain_s))
      ->group("Serving");
  const char* rehearsal = "Rehearsing";
  app.add_flag("--rehearse", options->rehearse,
               "Start the ranks without weights, check every link, run the plan's programs on zeros, say what was "
               "measured, and exit: 0, or 1 with what is wrong; --json for programs")
      ->group(rehearsal);
  AddChoice(line, app, "--rehearse-layers", &options->rehearse_layers, {"auto", "1", "all"},
            "1: one layer of each kind in the largest bucket, without its memory; all: everything; auto: all where it "
            "fits into this host")
      ->group(rehearsal);
  app.add_flag("-i,--interactive,--interactive-mode", options->interactive,
               "Chat in the terminal, or with the lines of standard input");
  options->node.Register(line);
  RegisterOnce(line, options);
}

// What the main thread waits for: a signal to end, or word from another thread.
struct MainLoop {
  Fd signals;
  Fd word;  // eventfd
  std::atomic<bool> called{false};

  // Any thread.
  void Notify() {
    called = true;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(word.get(), &one, sizeof(one));  // Wait looks by itself, too
  }

  // The signal that came, 0 for word from a thread, or kInput for something to read, where there is an input.
  int Wait(int input = -1) {
    for (;;) {
      if (const std::optional<int> came = WaitFor(kLookAgainMs, input)) return *came;
    }
  }

  // The same; nothing where neither comes in time, or early for no reason.
  std::optional<int> WaitFor(int limit_ms, int input = -1) {
    {
      pollfd waiting[] = {{signals.get(), POLLIN, 0}, {word.get(), POLLIN, 0}, {input, POLLIN, 0}};
      if (poll(waiting, 3, limit_ms) < 0) return std::nullopt;
      signalfd_siginfo info;
      if (waiting[0].revents != 0 && read(signals.get(), &info, sizeof(info)) == sizeof(info)) {
        return static_cast<int>(info.ssi_signo);
      }
      uint64_t count;
      [[maybe_unused]] const ssize_t drained = read(word.get(), &count, sizeof(count));
      if (called.exchange(false)) return 0;
      if (waiting[2].revents != 0) return kInput;
      return std::nullopt;
    }
  }

  static constexpr int kInput = -1;

  static constexpr int kLookAgainMs = 1000;
};

constexpr int kLookForAnswersMs = 20;

// Before any thread exists, so that all of them leave these signals to the main loop. They end the program whether or
// not they were blocked or ignored when it started (a shell's background jobs ignore SIGINT and SIGQUIT), but for a
// SIGHUP that was ignored: that is what nohup asks for. One that works in the background for another, and was started
// so, leaves a terminal's signals to that: Ctrl-C there stops an answer, and not the world.
Result<std::unique_ptr<MainLoop>> MakeMainLoop(bool in_background = false) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    struct sigaction before {};
    const bool may_stay = number == SIGHUP || (in_background && number != SIGTERM);
    if (may_stay && sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaddset(&set, number);
    signal(number, SIG_DFL);
  }
  sigprocmask(SIG_BLOCK, &set, nullptr);
  for (const int number : {SIGUSR1, SIGUSR2}) signal(number, SIG_IGN);
  auto loop = std::make_unique<MainLoop>();
  loop->signals = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  loop->word = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->signals || !loop->word) {
    return mrs::Unavailable("no descriptor to wait for signals with: {}; raise the limit on open files (ulimit -n)",
                            std::strerror(errno));
  }
  return loop;
}

mrs::Status CheckHost(const std::string& host) {
  if (host == "127.0.0.1" || host == "localhost") return mrs::Status();
  return mrs::Refuse("--host {}: mrs-exec binds 127.0.0.1 only until API keys come", host);
}

// As mistral.rs has it.
Result<std::chrono::milliseconds> KeepAliveInterval() {
  constexpr int kDefaultMs = 10000, kMostMs = 86400000;
  const char* text = std::getenv("KEEP_ALIVE_INTERVAL");
  if (text == nullptr || *text == '\0') return std::chrono::milliseconds(kDefaultMs);
  const std::optional<int> number = mrs::cli::ReadNumber<int>(text, 1, kMostMs);
  if (number.has_value()) return std::chrono::milliseconds(*number);
  return Error{ErrorKind::kUsage,
               fmt::format("KEEP_ALIVE_INTERVAL={}: expected milliseconds, a whole number from 1 to {}",
                           mrs::cli::ShownValue(text), kMostMs)};
}

// Lets the answers under way end, until the time is over, another signal comes, or the ranks are gone. Why those that
// are left end; "" where it was somebody's wish.
std::string Drain(MainLoop& loop, mrs::cli::Session& session, const mrs::cli::Front& front, uint32_t seconds) {
  if (seconds == 0 || session.engine().state() != mrs::EngineState::kReady) return "";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  session.BeginEnd();
  front.begin_drain();
  for (size_t told = 0;;) {
    const size_t busy = front.busy();
    if (busy == 0) return "";
    if (std::exchange(told, busy) == 0)
      mrs::Say("draining      {} answer(s) under way, {} s for them\n", busy, seconds);
    if (std::chrono::steady_clock::now() >= end)
      return fmt::format("this answer did not end within --drain {} s", seconds);
    if (loop.WaitFor(kLookForAnswersMs).has_value()) return "";
  }
}

int Serve(mrs::OpenedPlan opened, const mrs::cli::NodeSeat& seat, const ExecOptions& options) {
  if (const mrs::Status allowed = CheckHost(options.host); !allowed.ok()) return Fail(allowed.error());
  Result<std::unique_ptr<MainLoop>> loop = MakeMainLoop();
  if (!loop.ok()) return Fail(loop.error());
  // The port first: a busy one must not cost a load.
  const Result<std::chrono::milliseconds> keep_alive = KeepAliveInterval();
  if (!keep_alive.ok()) return Fail(keep_alive.error());
  Result<mrs::cli::Front> front = mrs::cli::BindFront("127.0.0.1", options.port, *keep_alive);
  if (!front.ok()) return Fail(front.error());
  std::string failure;  // written before Notify
  Result<std::unique_ptr<mrs::cli::Session>> session = mrs::cli::Session::Start(
      std::move(opened), seat, options, [&failure, loop = loop->get()](const std::string& why) {
        failure = why;
        loop->Notify();
      });
  if (!session.ok()) return Fail(session.error());
  const mrs::Status started = front->start(mrs::MakeEngineHandle((*session)->engine(), (*session)->served_model()));
  if (!started.ok()) return Fail(started.error());
  mrs::Say("serving       http://127.0.0.1:{}/v1\n", front->port);
  const int signal_number = (*loop)->Wait();
  const std::string why = signal_number == SIGTERM ? Drain(**loop, **session, *front, options.drain_s) : "";
  (*session)->Stop(why);  // every request has heard its end
  front->stop();
  if (signal_number != 0) return 0;
  return Fail(mrs::Unavailable("{}", failure));
}

int Once(mrs::OpenedPlan opened, const mrs::cli::NodeSeat& seat, const ExecOptions& options) {
  Result<std::unique_ptr<MainLoop>> loop = MakeMainLoop();
  if (!loop.ok()) return Fail(loop.error());
  Result<std::unique_ptr<mrs::cli::Session>> session = mrs::cli::Session::Start(std::move(opened), seat, options, {});
  if (!session.ok()) return Fail(session.error());
  Result<std::unique_ptr<mrs::cli::AnswerOnce>> once =
      mrs::cli::AnswerOnce::Submit(**session, options, [loop = loop->get()] { loop->Notify(); });
  if (!once.ok()) return Fail(once.error());
  // The text that has come is written here, where a reader that stands still keeps neither the engine nor a signal
  // waiting.
  mrs::Status written;
  bool ended = false;
  while (written.ok() && !ended && (*loop)->Wait() == 0) {
    ended = (*once)->finished();  // before the text is taken: then it is all of it
    written = mrs::Print((*once)->TakeText(), (*loop)->signals.get());
  }
  (*session)->Stop();
  if (!written.ok() && written.error().kind != ErrorKind::kCancelled) return Fail(written.error());
  return (*once)->Print((*loop)->signals.get());
}

// Lines in, answers out, until the input ends or a signal says so. Ctrl-C stops the answer that is under way; where
// there is none it ends the program, as in other chats.
int Talk(mrs::OpenedPlan opened, const mrs::cli::NodeSeat& seat, const ExecOptions& options) {
  Result<std::unique_ptr<MainLoop>> loop = MakeMainLoop();
  if (!loop.ok()) return Fail(loop.error());
  MainLoop& main_loop = **loop;
  std::string failure;  // written before Notify
  Result<std::unique_ptr<mrs::cli::Session>> session =
      mrs::cli::Session::Start(std::move(opened), seat, options, [&failure, &main_loop](const std::string& why) {
        failure = why;
        main_loop.Notify();
      });
  if (!session.ok()) return Fail(session.error());
  Result<std::unique_ptr<mrs::cli::Chat>> chat =
      mrs::cli::Chat::Start(**session, options, [&main_loop] { main_loop.Notify(); });
  if (!chat.ok()) return Fail(chat.error());
  const bool is_terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  mrs::Status written;
  const auto show = [&](const std::string& text) {
    if (!written.ok()) return;
    written = mrs::Print(text, main_loop.signals.get());
    if (!written.ok() && written.error().kind == ErrorKind::kCancelled) written = mrs::Status();  // the signal is next
  };
  // The signal that ended the answer's program, or 0 once the answer is whole.
  const auto answer = [&] {
    for (bool ended = false; !ended && written.ok();) {
      const int signal_number = main_loop.Wait();
      if (signal_number == SIGINT) (*chat)->StopAnswer();
      if (signal_number > 0 && signal_number != SIGINT) return signal_number;
      show((*chat)->Take(&ended));
    }
    return 0;
  };
  mrs::cli::LineReader reader;
  bool open = true, prompted = false, ended = false;
  while (!ended && written.ok() && (*chat)->failure().empty()) {
    if (is_terminal && !std::exchange(prompted, true)) show("> ");
    std::string line;
    bool too_long = false, none = false;
    if (!reader.Next(&line, &too_long)) {
      if (!open) break;
      const int what = main_loop.Wait(STDIN_FILENO);
      if (what > 0 || (what == 0 && (*session)->engine().state() == mrs::EngineState::kFailed)) break;
      if (what != MainLoop::kInput) continue;
      const Result<bool> more = reader.Read(STDIN_FILENO);
      if (!more.ok()) written = more.status();
      open = more.ok() && *more;
      continue;
    }
    prompted = false;
    if (too_long) {
      show(fmt::format("not sent: a line has at most {} bytes\n", mrs::cli::kMaxLineBytes));
      continue;
    }
    const mrs::cli::Chat::Heard heard = (*chat)->Hear(line);
    ended = heard == mrs::cli::Chat::Heard::kEnd || (heard == mrs::cli::Chat::Heard::kAnswers && answer() != 0);
    show((*chat)->Take(&none));
  }
  if (is_terminal && prompted) show("\n");
  const std::string lost = (*chat)->failure();
  (*session)->Stop();
  if (!written.ok()) return Fail(written.error());
  if (!failure.empty() || !lost.empty()) return Fail(mrs::Unavailable("{}", failure.empty() ? lost : failure));
  return 0;
}

int Node(const mrs::OpenedPlan& opened, const mrs::cli::NodeSeat& seat, const ExecOptions& options) {
  Result<std::unique_ptr<MainLoop>> loop = MakeMainLoop(/*in_background=*/true);
  if (!loop.ok()) return Fail(loop.error());
  MainLoop* const raw = loop->get();
  return mrs::cli::RunNode(
      opened, seat, options,
      {.signal_fd = raw->signals.get(), .notify = [raw] { raw->Notify(); }, .wait = [raw] { return raw->Wait(); }});
}

// `mrs-exec rank --fd N` is what a supervisor starts; it is no verb for people. The descriptor is its socket.
int RunRank(int argc, char** argv) {
  constexpr const char* kNotForPeople = "this verb is for mrs-exec itself; serve with mrs-exec --plan x.mrsplan";
  if (argc != 4 || std::strcmp(argv[2], "--fd") != 0) {
    return Fail({ErrorKind::kUsage, fmt::format("rank: expected --fd N; {}", kNotForPeople)});
  }
  const std::optional<int> fd = mrs::cli::ReadNumber<int>(argv[3], 3, INT32_MAX);
  struct stat info {};
  if (!fd.has_value() || fstat(*fd, &info) != 0 || !S_ISSOCK(info.st_mode)) {
    return Fail({ErrorKind::kUsage, fmt::format("rank: --fd {}: expected the number of an open socket, 3 or more; {}",
                                                mrs::cli::ShownValue(argv[3]), kNotForPeople)});
  }
  return mrs::RankMain(*fd);
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "rank") == 0) return RunRank(argc, argv);
  if (argc > 1 && std::strcmp(argv[1], "doctor") == 0) return mrs::cli::RunDoctor(argc - 1, argv + 1);
  mrs::RaiseDescriptorLimit();
  mrs::cli::CommandLine line(
      "mrs-exec", "mrs-exec runs a plan: serves it over HTTP (OpenAI's API), or answers --prompt and exits.");
  line.app.set_version_flag("--version", "mrs-exec " MRS_VERSION);
  line.app.footer(kExamples);
  line.elsewhere = kElsewhere;
  ExecOptions options;
  Register(line, &options);
  if (const std::optional<int> exit_code = mrs::cli::Parse(line, argc, argv)) return *exit_code;
  if (options.rehearse) {
    if (options.answers_once() || options.interactive)
      return Fail({ErrorKind::kUsage, "--rehearse has no weights to answer a prompt with"});
  } else if (options.rehearse_layers != "auto") {
    return Fail({ErrorKind::kUsage, "--rehearse-layers is for --rehearse"});
  }
  for (const char* name : {"--temperature", "--top-k", "--top-p", "--seed", "--max-tokens", "--stop"}) {
    if (line.app.get_option(name)->count() > 0) options.sampling_given.insert(name);
  }
  if (options.interactive && options.answers_once()) {
    return Fail({ErrorKind::kUsage, "-i asks for prompts itself; leave out --prompt and --prompt-ids"});
  }
  if (!options.rehearse && (options.json || !options.logits_out.empty()) && !options.answers_once()) {
    return Fail({ErrorKind::kUsage, "--json and --logits-out are for --prompt and --prompt-ids"});
  }
  Result<mrs::OpenedPlan> opened = mrs::OpenPlan(options.plan_path);
  const Result<mrs::cli::NodeSeat> seat =
      opened.ok() ? mrs::cli::FindSeat(opened->plan(), options) : Result<mrs::cli::NodeSeat>(opened.error());
  if (seat.ok() && !seat->is_head()) return Node(*opened, *seat, options);
  if (options.rehearse) return mrs::cli::Rehearse(opened, seat, options);
  if (!seat.ok()) return Fail(seat.error());
  if (options.interactive) return Talk(*std::move(opened), *seat, options);
  return options.answers_once() ? Once(*std::move(opened), *seat, options) : Serve(*std::move(opened), *seat, options);
}

}  // namespace

int main(int argc, char** argv) {
  return mrs::RunMain("mrs-exec", [&] { return Main(argc, argv); });
}
