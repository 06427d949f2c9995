// What a value is, written as a term: an operation, what it is told, and the terms it reads. The same term is the same
// number, so that two programs compute the same values where they leave the same numbers.
//
//   const TermId x = terms.Embed(tokens, table, 2003);
//   x == terms.Embed(tokens, table, 2003)   // and of no other table or vocabulary
//
// One function an operation: these are all the meanings that the erasure checker knows. Arguments are what the value
// depends on; what may differ without changing a bit (an address, a slice, a name) is none of them. An attribute that
// an operation gains later is a parameter here, or plans that differ in it pass for the same.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mrs::planner {

using TermId = uint32_t;

struct Term {
  struct Field {
    std::string_view name;  // a literal
    std::string value;
    bool operator==(const Field&) const = default;
  };
  std::string_view op;  // a literal
  std::vector<Field> fields;
  std::vector<TermId> args;
};

// Some rows of one tensor of the checkpoint. The tensor is as its header has it; a vector has one column.
struct SourceTensor {
  std::string tensor, dtype;
  uint64_t file = 0, offset = 0, rows = 0, columns = 0;
  uint64_t row_begin = 0, row_count = 0;  // of a tensor that is no part of another: all
  std::string transform = "none";         // "add_one": what is stored is w + 1
};

// The window of each KV class of a program, by the class's number; 0: none. A class is what its window is: two programs
// may number their classes otherwise.
using KvWindows = std::map<uint64_t, uint64_t>;

// Grows with the number of different terms; making one costs its own size. `type`: f32 or bf16, as the value is stored.
class Terms {
 public:
  const Term& operator[](TermId id) const { return terms_[id]; }

  // What the executor writes. "slots.1" and "block_table.1" are of KV class 1, "slots" and "block_table" of class 0.
  TermId Input(const std::string& name, const KvWindows& windows);
  // The whole matrix [rows, k], summed in `chunks` canonical chunks, from its tensors one below the other; a vector: k
  // and chunks 0.
  TermId Weight(std::string type, uint64_t rows, uint64_t k, uint64_t chunks, std::span<const SourceTensor> sources);
  TermId NoBias();
  TermId Embed(TermId ids, TermId table, uint64_t vocab);
  TermId RopeAngles(TermId positions, uint64_t rope);
  TermId RmsNorm(TermId x, TermId weight, uint64_t width, float eps, std::string type);
  TermId LayerNorm(TermId x, TermId weight, TermId bias, uint64_t width, float eps, std::string type);
  // Of all heads of x, in chunks of so many.
  TermId SumSquares(TermId x, uint64_t chunk_heads, uint64_t head_dim);
  // `width`: elements that went into the sum.
  TermId RmsScale(TermId x, TermId sum, TermId weight, uint64_t width, float eps, std::string type);
  TermId Scale(TermId x, float factor, std::string type);
  TermId SoftCap(TermId x, float cap);
  TermId PositionScale(TermId x, TermId positions, float beta, uint64_t original, std::string type);
  TermId Matmul(TermId x, TermId weight, TermId bias);
  TermId Rope(TermId x, TermId angles, uint64_t rope, uint64_t head_dim, bool interleaved, std::string type);
  // `cache`: which of the program's caches, counted in the order in which it first appends to each.
  TermId KvAppend(TermId k, TermId v, TermId slots, uint64_t cache, uint64_t window, uint64_t k_dim, uint64_t v_dim,
                  std::string type);
  TermId Attention(TermId q, TermId cache, TermId sequence, TermId positions, TermId block_table, uint64_t head_dim,
                   float scale, uint64_t window, float soft_cap, std::string type);
  TermId SiluMul(TermId gate, TermId up, std::string type);
  TermId GeluMul(TermId gate, TermId up, bool approximate, std::string type);
  TermId Add(TermId a, TermId b);  // in either order: the sum of two floats is the same
  TermId AddBias(TermId a, TermId bias);
  TermId SelectRows(TermId x, TermId rows);
  // `chunk_size`: of the parts of the vocabulary that have a log-sum-exp partial each.
  TermId TopCandidates(TermId logits, uint64_t k, uint64_t chunk_size, uint64_t vocab);
  // A value that lies rank by rank. No operation of a model reads one; an output is one wherever there are ranks.
  TermId Gathered(TermId x);

  // The first operands by which two terms of one operation and as many operands differ.
  std::pair<TermId, TermId> FirstDifferentArgs(TermId a, TermId b) const;

 private:
  TermId Make(std::string_view op, std::vector<Term::Field> fields, std::vector<TermId> args);

  std::deque<Term> terms_;
  std::unordered_map<std::string, TermId> ids_;  // by everything a term says, lengths included
};

}  // namespace mrs::planner
