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
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "cli/answer_once.h"
#include "cli/command_line.h"
#include "cli/doctor_verb.h"
#include "cli/exec_options.h"
#include "cli/front.h"
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
  mrs-exec --plan x.mrsplan --prompt-ids 1,2,3 --prompt-ids 7,8 --json   a batch; one JSON line each
  mrs-exec doctor                                  what this host has, judged; --json for mrs-plan cluster import

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
MRS_ISA=reference|avx2|avx512|avx512bf16|amx keeps to that instruction set; the tokens stay the same.)";

constexpr std::string_view kCpusOnly =
    "not there yet: ranks run on this host's CPUs; on what they run will be the plan's to say";
constexpr std::string_view kNoKey = "not there yet: the server binds 127.0.0.1 only and asks for no key; leave it out";
constexpr std::string_view kOneHost =
    "not there yet: all ranks run on this host, and the plan says what each holds; build one with mrs-plan build --tp "
    "N";

// What users of other servers try, and what is to come.
constexpr mrs::cli::Elsewhere kElsewhere[] = {
    {"--api-key-file --no-auth --auth", kNoKey},
    {"--gpus --gpu --num-gpus --device --devices --device-ids --cuda", kCpusOnly},
    {"-n --num-device-layers --device-layers --nodes --nnodes --node-rank --num-nodes --master-addr --head", kOneHost},
    {"--pp -pp --pipeline-parallel-size --dp -dp --data-parallel-size --ep --enable-expert-parallel", kOneHost},
    {"--cluster-secret-file --insecure-cluster", kOneHost},
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
    {"--quantization -q --isq --in-situ-quant --load-format", "not there yet: quantized weights"},
    {"--chat-template -j --jinja-explicit --tokenizer --tok-model-id", "the plan and the model folder decide it"},
    {"-m --model-id --model-path", "use --model DIR, with --plan x.mrsplan"},
    {"-p", "use --port N, or --prompt TEXT"},
    {"--ip --address --serve-ip --bind", "use --host; for now it is 127.0.0.1 only"},
    {"--tls --ssl-keyfile --ssl-certfile --tls-key --tls-cert",
     "not there yet: the server speaks plain HTTP to this host"},
    {"-i --interactive --interactive-mode", "not there yet: use --prompt TEXT, or ask over HTTP"},
    {"--rehearse --metrics --admin --enable-prefix-caching --no-prefix-caching --lora --enable-lora --lora-modules "
     "--speculative-config --draft-model --kv-cache-dtype",
     "not there yet; leave it out"},
    {"--min-p --presence-penalty --frequency-penalty --repetition-penalty --logit-bias --logprobs --stop-token-ids",
     "not there yet on the command line; ask over HTTP"},
    {"--trust-remote-code", "no code of a model is ever run; leave it out"},
    {"serve run server", "leave the word out: mrs-exec --plan x.mrsplan serves"},
    {"chat bench", "not there yet"},
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
             [sampling, stops = std::vector<std::string>()](const std::string& text) mutable {
               stops.push_back(text);
               sampling->stop = stops;
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
  AddChoice(line, app, "--transport", &options->transport, {"auto", "local", "shm", "tcp"},
            "How ranks talk: auto, local (threads), shm or tcp");
  AddNumber<uint32_t>(line, app, "--threads", &options->threads, 1, 1024,
                      "Threads of each rank [the host's cores over the ranks]");
  AddNumber<uint32_t>(line, app, "--chunk", &options->chunk, 1, 1 << 20, "Prompt tokens of one sequence in one forward")
      ->default_str(fmt::format("{}", options->chunk));
  AddNumber<double>(line, app, "--timeout", &options->timeout_s, 0.1, 86400.0,
                    "Seconds without an answer until a rank counts as lost")
      ->default_str(fmt::format("{}", options->timeout_s));
  app.add_flag("--quiet", options->quiet, "Do not print the layout");
  AddText(line, app, "--host", &options->host, "a host name or address", "Address to serve on")->group("Serving");
  AddNumber<uint16_t>(line, app, "--port", &options->port, 0, 65535, "Port to serve on; 0: any free one")
      ->default_str(fmt::format("{}", options->port))
      ->group("Serving");
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

  // The signal that came, or 0 for word from a thread.
  int Wait() {
    for (;;) {
      pollfd waiting[] = {{signals.get(), POLLIN, 0}, {word.get(), POLLIN, 0}};
      if (poll(waiting, 2, kLookAgainMs) < 0) continue;
      signalfd_siginfo info;
      if (waiting[0].revents != 0 && read(signals.get(), &info, sizeof(info)) == sizeof(info)) {
        return static_cast<int>(info.ssi_signo);
      }
      uint64_t count;
      [[maybe_unused]] const ssize_t drained = read(word.get(), &count, sizeof(count));
      if (called.exchange(false)) return 0;
    }
  }

  static constexpr int kLookAgainMs = 1000;
};

// Before any thread exists, so that all of them leave these signals to the main loop. They end the program whether or
// not they were blocked or ignored when it started (a shell's background jobs ignore SIGINT and SIGQUIT), but for a
// SIGHUP that was ignored: that is what nohup asks for.
Result<std::unique_ptr<MainLoop>> MakeMainLoop() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    struct sigaction before {};
    if (number == SIGHUP && sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
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

int Serve(const ExecOptions& options) {
  if (const mrs::Status allowed = CheckHost(options.host); !allowed.ok()) return Fail(allowed.error());
  Result<std::unique_ptr<MainLoop>> loop = MakeMainLoop();
  if (!loop.ok()) return Fail(loop.error());
  // The port first: a busy one must not cost a load.
  Result<mrs::cli::Front> front = mrs::cli::BindFront("127.0.0.1", options.port);
  if (!front.ok()) return Fail(front.error());
  std::string failure;  // written before Notify
  Result<std::unique_ptr<mrs::cli::Session>> session =
      mrs::cli::Session::Start(options, [&failure, loop = loop->get()](const std::string& why) {
        failure = why;
        loop->Notify();
      });
  if (!session.ok()) return Fail(session.error());
  const mrs::Status started = front->start(mrs::MakeEngineHandle((*session)->engine(), (*session)->served_model()));
  if (!started.ok()) return Fail(started.error());
  mrs::Say("serving       http://127.0.0.1:{}/v1\n", front->port);
  const int signal_number = (*loop)->Wait();
  (*session)->Stop();  // every request has heard its end
  front->stop();
  if (signal_number != 0) return 0;
  return Fail(mrs::Unavailable("{}", failure));
}

int Once(const ExecOptions& options) {
  Result<std::unique_ptr<MainLoop>> loop = MakeMainLoop();
  if (!loop.ok()) return Fail(loop.error());
  Result<std::unique_ptr<mrs::cli::Session>> session = mrs::cli::Session::Start(options, {});
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
  mrs::cli::CommandLine line(
      "mrs-exec", "mrs-exec runs a plan: serves it over HTTP (OpenAI's API), or answers --prompt and exits.");
  line.app.set_version_flag("--version", "mrs-exec " MRS_VERSION);
  line.app.footer(kExamples);
  line.elsewhere = kElsewhere;
  ExecOptions options;
  Register(line, &options);
  if (const std::optional<int> exit_code = mrs::cli::Parse(line, argc, argv)) return *exit_code;
  if ((options.json || !options.logits_out.empty()) && !options.answers_once()) {
    return Fail({ErrorKind::kUsage, "--json and --logits-out are for --prompt and --prompt-ids"});
  }
  return options.answers_once() ? Once(options) : Serve(options);
}

}  // namespace

int main(int argc, char** argv) {
  return mrs::RunMain("mrs-exec", [&] { return Main(argc, argv); });
}
