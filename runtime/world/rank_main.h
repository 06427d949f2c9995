// What a rank process does, from its first message to its last: `mrs-exec rank --fd 3`, started by its supervisor
// alone.
//
//   Config -> beat -> open and verify the plan -> Hello -> Peers -> connect -> load (Progress) -> Ready -> (Batch ->
//   Result)*
//
// One process runs one rank, or, over `local`, all of them as threads. Ranks decide nothing: they run the batch they
// get.
#pragma once

namespace mrs {

// Runs until the supervisor says so or is gone; the exit code. A failure is told to the supervisor, not printed.
int RankMain(int fd);

}  // namespace mrs
