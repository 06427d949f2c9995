// mrs-exec: runs a plan. Serves it over HTTP, or answers the prompts of the command line and ends.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "cli/answer_once.h"
#include "cli/exec_options.h"
#include "cli/exit_of.h"
#include "cli/front.h"
#include "cli/session.h"
#include "host/output.h"
#include "host/process.h"
#include "runtime/comm/fd.h"
#include "runtime/engine/rank_main.h"

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

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
MRS_ISA=reference|avx2|avx512|avx512bf16|amx keeps to that instruction set; the tokens stay the same.)";

void Register(CLI::App& app, ExecOptions* options) {
  app.add_option("--plan", options->plan_path, "The plan, made by mrs-plan build")->required();
  app.add_option("--model", options->model_dir,
                 "Folder of the plan's weight files and tokenizer; {rank} in it stands for the rank's number "
                 "[the plan's folder, or the current one]");
  app.add_option("--transport", options->transport, "How ranks talk: auto, local (threads), shm or tcp")
      ->capture_default_str();
  app.add_option("--threads", options->threads, "Threads of each rank [the host's cores over the ranks]")
      ->check(CLI::Range(1, 1024));
  app.add_option("--chunk", options->chunk, "Prompt tokens of one sequence in one forward")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--timeout", options->timeout_s, "Seconds without an answer until a rank counts as lost")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  app.add_flag("--quiet", options->quiet, "Do not print the layout");

  app.add_option("--host", options->host, "Address to serve on")->capture_default_str()->group("Serving");
  app.add_option("--port", options->port, "Port to serve on; 0: any free one")->capture_default_str()->group("Serving");

  const char* once = "Answering once";
  app.add_option("--prompt", options->prompts,
                 "Continue this text and exit; repeat it for a batch. The answer starts with a space where the text's "
                 "next word does")
      ->allow_extra_args(false)
      ->group(once);
  app.add_option("--prompt-ids", options->prompt_ids, "The same with token ids: 1,2,3")
      ->allow_extra_args(false)
      ->group(once);
  app.add_option("--max-tokens", options->sampling.max_tokens, "Tokens of the answer, at most")
      ->capture_default_str()
      ->group(once);
  app.add_option("--temperature", options->sampling.temperature, "0: always the most probable token")
      ->capture_default_str()
      ->group(once);
  app.add_option("--top-k", options->sampling.top_k, "Draw from the best k tokens; 0: from all")->group(once);
  app.add_option("--top-p", options->sampling.top_p, "Draw from the best tokens that make up this probability")
      ->group(once);
  app.add_option("--seed", options->sampling.seed, "The same seed gives the same answer")
      ->capture_default_str()
      ->group(once);
  app.add_option_function<std::vector<std::string>>(
         "--stop", [options](const std::vector<std::string>& stops) { options->sampling.stop = stops; },
         "End before this text; repeatable")
      ->allow_extra_args(false)
      ->group(once);
  app.add_flag("--ignore-eos", options->sampling.ignore_eos, "Go on after the end-of-sequence token")->group(once);
  app.add_option("--logits-out", options->logits_out,
                 "Write all logits here: f32 rows, the last prompt position's, then each step's; of several prompts, "
                 "FILE.0, FILE.1, ...")
      ->group(once);
  app.add_flag("--json", options->json, "One JSON line a prompt: text, token_ids, logprobs, logits_sha256, ...")
      ->group(once);
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

// `mrs-exec rank --fd N` is what a supervisor starts; it is no verb for people.
bool IsRank(int argc, char** argv) {
  return argc == 4 && std::strcmp(argv[1], "rank") == 0 && std::strcmp(argv[2], "--fd") == 0;
}

int Main(int argc, char** argv) {
  if (IsRank(argc, argv)) {
    const int fd = std::atoi(argv[3]);
    if (fd <= 2 || fcntl(fd, F_GETFD) < 0) return Fail({ErrorKind::kUsage, "rank: this verb is for mrs-exec itself"});
    return mrs::RankMain(fd);
  }
  CLI::App app("mrs-exec runs a plan: serves it over HTTP (OpenAI's API), or answers --prompt and exits.", "mrs-exec");
  app.set_version_flag("--version", "mrs-exec " MRS_VERSION);
  app.footer(kExamples);
  ExecOptions options;
  Register(app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return mrs::cli::ExitOf(app, error);
  }
  if ((options.json || !options.logits_out.empty()) && !options.answers_once()) {
    return Fail({ErrorKind::kUsage, "--json and --logits-out are for --prompt and --prompt-ids"});
  }
  return options.answers_once() ? Once(options) : Serve(options);
}

}  // namespace

int main(int argc, char** argv) {
  return mrs::RunMain("mrs-exec", [&] { return Main(argc, argv); });
}
