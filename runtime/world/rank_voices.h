// What a node and its ranks say on standard error, on its way to two places: this process' own, and the head.
//
//   MRS_ASSIGN_OR_RETURN(auto voices, RankVoices::Start({2, 3}));
//   SpawnRank(program, socket, voices->StandardErrorOf(2));   // and voices->Started() once all are started
//   voices->Say("a notice of this process");
//   std::string message = voices->TakeMessage();              // an encoded Log, or "": nothing to tell
//
// Ranks write into pipes that a thread empties, so that nobody waits for the head, nor for anybody else that reads. Of
// what ranks say all is passed on here; the head gets as much as log_lines.h allows.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/world/log_lines.h"

namespace mrs {

class RankVoices {
 public:
  static Result<std::unique_ptr<RankVoices>> Start(const std::vector<uint32_t>& ranks);
  ~RankVoices();  // what has been said by then is passed on

  int StandardErrorOf(uint32_t rank) const;  // -1: no rank of these
  void Started();                            // the ranks have their ends; this process lets go of them
  void Say(std::string_view text);           // of this process; any thread
  // Of what has been said by now; any thread.
  std::string TakeMessage();

 private:
  struct Voice {
    uint32_t rank = 0;
    Fd read_end, write_end;
    LineSplitter splitter;
  };

  RankVoices() = default;
  void Run();
  void Collect();

  std::vector<Voice> voices_;
  Fd wake_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // of what is read, and:
  LogLines lines_;
  std::thread thread_;
};

}  // namespace mrs
