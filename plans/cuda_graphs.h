// The CUDA graphs of a GPU's rank: which there are, and what of its device they take. The planner counts them, the
// executor has no more than were counted.
//
//   GraphRows(3, 6)      ->   4      a decode of three rows runs the graph of four; of most 6 there are 1, 2, 4 and 6
//   GraphCount(6, true)  ->   8      each size for candidates and for all logits, which no one graph is for
//   GraphCount(6, false) ->   4      of a stage that does not end the model, whose program both have
//   GraphBytes(1000, 0)  ->   9.8 MiB, of a thousand steps
//   GraphBytes(1000, 4)  ->  17.8 MiB, of as many in five graphs, before, between and after four exchanges
#pragma once

#include <cstdint>

namespace mrs {

// The fewest rows of a graph that holds so many; 0 where none does. `most` >= 1.
constexpr int64_t GraphRows(int64_t rows, int64_t most) {
  if (rows > most) return 0;
  int64_t of_graph = 1;
  while (of_graph < rows) of_graph *= 2;
  return of_graph < most ? of_graph : most;
}

// So many that decodes of every size, of either variant and in any order, find theirs again.
constexpr int64_t GraphCount(int64_t most, bool ends_model) {
  int64_t sizes = 1;
  for (int64_t rows = 1; rows < most; rows *= 2) ++sizes;
  return ends_model ? 2 * sizes : sizes;
}

// Of a forward's instantiated graphs, which no document states: graphs of 500, 1000 and 4000 captured kernels took 0 to
// 12 MiB on an H200 (driver 580.159, CUDA 13.0), in pieces of 2 MiB, and no more than 4,194 bytes a kernel. Twice that,
// for kernels of more arguments and steps of several kernels, and a piece a graph. What ranks exchange through their
// host cuts a forward into graphs. Steps and exchanges of one variant are counted in both: they are the few last ones.
constexpr int64_t GraphBytes(int64_t steps, int64_t exchanges) {
  return steps * (int64_t{8} << 10) + (exchanges + 1) * (int64_t{2} << 20);
}

}  // namespace mrs
