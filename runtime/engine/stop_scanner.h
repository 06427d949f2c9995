// Watches a stream of text for stop strings and holds back what may be the start of one.
//
//   StopScanner scanner({"###"});
//   scanner.Push("a#");    // "a"
//   scanner.Push("#b");    // "##b"
//   scanner.Push("###c");  // "", and scanner.stopped()
//
// All prompts of one request watch for the same strings, so they share one StopStrings: a scanner of its own is a
// position in the common automaton and the text held back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mrs {

// Aho-Corasick: a state is a prefix of some stop string, the longest that the text so far ends with. 24 bytes a state.
class StopAutomaton {
 public:
  explicit StopAutomaton(const std::vector<std::string>& stops);  // empty ones never stop

  int32_t Next(int32_t state, char byte) const;                            // amortized constant
  size_t length(int32_t state) const { return node(state).length; }        // of the prefix
  size_t stop_length(int32_t state) const { return node(state).longest; }  // ends here; 0: none does
  size_t state_count() const { return nodes_.size(); }                     // the empty prefix with them

 private:
  struct Node {
    int32_t child = -1;    // the first; the others are its siblings
    int32_t sibling = -1;  // a node has at most as many children as there are stop strings
    int32_t fail = 0;      // the longest proper suffix that is a node
    uint32_t length = 0;
    uint32_t longest = 0;
    char byte = 0;
  };
  const Node& node(int32_t state) const { return nodes_[static_cast<size_t>(state)]; }
  int32_t Child(int32_t state, char byte) const;  // -1: none

  std::vector<Node> nodes_;
};

// The stop strings of a request. Copies share them, and the automaton with them; threads may, too.
class StopStrings {
 public:
  StopStrings() = default;
  StopStrings(std::vector<std::string> texts);
  StopStrings(std::initializer_list<std::string> texts) : StopStrings(std::vector<std::string>(texts)) {}

  const std::vector<std::string>& texts() const;
  bool empty() const { return texts().empty(); }
  size_t size() const { return texts().size(); }
  // Built for the first who asks: a request that waits for its turn costs no more than its strings.
  const StopAutomaton& automaton() const;
  bool is_built() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // null: none
};

class StopScanner {
 public:
  explicit StopScanner(StopStrings stops);

  // The text that is certain to lie before any stop string. After a stop: nothing more. Linear in all text pushed.
  std::string Push(std::string_view text);
  // The end of the text: what was held back.
  std::string Finish();
  bool stopped() const { return stopped_; }
  const std::string& matched() const { return matched_; }  // the stop string that was seen

 private:
  StopStrings stops_;
  int32_t state_ = 0;
  std::string held_;  // exactly the text of state_
  bool stopped_ = false;
  std::string matched_;
};

}  // namespace mrs
