// Watches a stream of text for stop strings and holds back what may be the start of one.
//
//   StopScanner scanner({"###"});
//   scanner.Push("a#");    // "a"
//   scanner.Push("#b");    // "##b"
//   scanner.Push("###c");  // "", and scanner.stopped()
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mrs {

class StopScanner {
 public:
  explicit StopScanner(const std::vector<std::string>& stops);  // empty ones never stop

  // The text that is certain to lie before any stop string. After a stop: nothing more. Linear in all text pushed.
  std::string Push(std::string_view text);
  // The end of the text: what was held back.
  std::string Finish();
  bool stopped() const { return stopped_; }
  const std::string& matched() const { return matched_; }  // the stop string that was seen

 private:
  // A node is a prefix of some stop string (Aho-Corasick).
  struct Node {
    std::map<unsigned char, int32_t> next;
    int32_t fail = 0;  // the longest proper suffix that is a node
    size_t length = 0;
    size_t longest = 0;  // of the stop strings that end here; 0: none
  };

  std::vector<Node> nodes_;
  int32_t state_ = 0;  // the longest suffix of the text that is a node
  std::string held_;   // exactly the text of state_
  bool stopped_ = false;
  std::string matched_;
};

}  // namespace mrs
