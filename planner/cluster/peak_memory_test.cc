// What a file can make its reader hold at once: every allocation is counted, and hostile files of each kind, as large
// as they may be, stay below 64 MiB besides their own text.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <pugixml.hpp>
#include <string>

#include "planner/cluster/doctor_json.h"
#include "planner/cluster/import_file.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/nccl_xml.h"

namespace {

std::atomic<size_t> held{0}, peak{0};

void* Counted(size_t bytes) {
  void* const at = std::malloc(bytes == 0 ? 1 : bytes);
  if (at == nullptr) return nullptr;
  const size_t now = held += malloc_usable_size(at);
  for (size_t most = peak; now > most && !peak.compare_exchange_weak(most, now);) {
  }
  return at;
}

void Freed(void* at) {
  if (at == nullptr) return;
  held -= malloc_usable_size(at);
  std::free(at);
}

}  // namespace

void* operator new(size_t bytes) {
  void* const at = Counted(bytes);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}
void* operator new[](size_t bytes) { return operator new(bytes); }
void operator delete(void* at) noexcept { Freed(at); }
void operator delete[](void* at) noexcept { Freed(at); }
void operator delete(void* at, size_t) noexcept { Freed(at); }
void operator delete[](void* at, size_t) noexcept { Freed(at); }

namespace mrs::cluster {
namespace {

constexpr size_t kMostBytes = size_t{64} << 20;

// `head`, then `part` again and again up to `bytes`, then `tail`. No count is below its limit in so many.
std::string Filled(std::string_view head, std::string_view part, std::string_view tail = "",
                   size_t bytes = size_t{2} << 20) {
  std::string text(head);
  text.reserve(bytes);
  while (text.size() + part.size() + tail.size() <= bytes) text += part;
  return text += tail;
}

void ExpectBounded(const char* name, const std::string& text) {
  pugi::set_memory_management_functions(Counted, Freed);
  const size_t before = held;
  peak = before;
  std::string message;
  {
    const Result<Cluster> cluster = ImportCluster(text, "c");
    message = cluster ? "is read" : cluster.message().substr(0, 120);
  }
  const size_t most = peak - before;
  std::printf("%-24s %8zu bytes: %6.1f MiB, %s\n", name, text.size(), static_cast<double>(most) / (1 << 20),
              message.c_str());
  EXPECT_LT(most, kMostBytes) << name;
}

TEST(PeakMemory, OfYaml) {
  const std::string good = "nodes: [{gpus: 8xH100-SXM}]\n";
  const std::pair<const char*, std::string> files[] = {
      {"quotes in a list", Filled("- [", "'' ")},
      {"quotes", Filled("", "'' ")},
      {"quotes on lines", Filled("", "- ''\n")},
      {"colons", Filled("[", ": ")},
      {"questions", Filled("[", "? ")},
      {"anchors", Filled("[", "&a ")},
      {"tags", Filled("[", "! ")},
      {"aliases", Filled("[", "*a ")},
      {"comments in a list", Filled("[", "a #\n")},
      {"brackets", Filled("", "[")},
      {"braces", Filled("", "{a: ")},
      {"pairs", Filled("[", "[],")},
      {"commas", Filled("- [", "1,")},
      {"quoted keys", Filled("{", "'':'',")},
      {"dashes", Filled("", "- ")},
      {"dashes on lines", Filled("", "-\n")},
      {"directives", Filled("", "%A\n")},
      {"documents", Filled("", "---\n")},
      {"ends of documents", Filled("", "...\n")},
      {"a long word", Filled("x: ", "a", "", kMaxFileBytes)},
      {"a word of many lines", Filled("x: ", "a\n")},
      {"words on lines", Filled("", "a\n")},
      {"text of many lines", Filled("x: |\n", "  a\n")},
      {"escapes", Filled("x: \"", "\\0", "\"")},
      {"comments", Filled("", "# a\n", good)},
      {"empty lines", Filled("", "\n", good)},
      {"blanks", Filled("", " ", good, kMaxFileBytes)},
      {"scalars in nodes", Filled("nodes:\n", "- a\n")},
      {"scalars beside nodes", Filled("other:\n", "- a\n")},
      {"lists in lists", Filled("other:\n", "- - - - - - - - - - - - - a\n")},
      {"lists in a node", Filled("nodes:\n- links:\n", "  - - - - - - - - - - - a\n")},
      {"flow maps", Filled("nodes: [", "{a: b},", "]")},
      {"maps", Filled("nodes:\n- links:\n", "  - a: b\n")},
      {"wide maps", Filled("nodes:\n", "- {a: , b: , c: , d: , e: , f: , g: , h: , i: , j: }\n", "", kMaxFileBytes)},
      {"nulls in JSON", Filled("{\"nodes\": [", "0,", "0]}")},
      {"lists in JSON", Filled("{\"nodes\": [", "[[[[[[]]]]]],", "0]}")},
      {"maps in JSON", Filled("{\"nodes\": [", "{\"a\":{\"a\":{}}},", "0]}")},
      {"strings in JSON", Filled("{\"nodes\": [", "\"0123456789abcdef\",", "0]}")},
  };
  for (const auto& [name, text] : files) ExpectBounded(name, text);
}

TEST(PeakMemory, OfXml) {
  const auto filled = [](std::string_view head, std::string_view part, std::string_view tail = "") {
    return Filled(head, part, tail, kMaxXmlBytes);
  };
  const std::pair<const char*, std::string> files[] = {
      {"elements", filled("<system>", "<a/>", "</system>")},
      {"sockets", filled("<system version=\"1\">", "<cpu numaid=\"0\"/>", "</system>")},
      {"elements in elements", filled("", "<a>")},
      {"attributes", filled("<a ", "a='' ", "/>")},
      {"text between", filled("<a>", "x<b/>", "</a>")},
      {"comments", filled("", "<!---->", "<a/>")},
      {"CDATA", filled("<a>", "<![CDATA[]]>", "</a>")},
      {"instructions", filled("", "<?a?>", "<a/>")},
      {"a document type", filled("<!DOCTYPE a [", "<!ENTITY b 'c'>", "]><a/>")},
      {"a long name", filled("<", "a", "/>")},
      {"references", filled("<a b='", "&amp;", "'/>")},
  };
  for (const auto& [name, text] : files) ExpectBounded(name, text);
}

TEST(PeakMemory, OfMatrices) {
  std::string wide, square;
  for (int gpu = 0; gpu < 64; ++gpu) wide += fmt::format("GPU{}\t", gpu);
  for (int gpu = 0; gpu < 64; ++gpu) {
    square += fmt::format("{}GPU{}", gpu == 0 ? fmt::format("{}\n", wide) : "", gpu);
    for (int other = 0; other < 64; ++other) square += gpu == other ? "\tX" : "\tSYS";
    square += "\n";
  }
  const std::string small = "GPU0 GPU1 CPU\nGPU0 X SYS\nGPU1 SYS X\n";
  const std::pair<const char*, std::string> files[] = {
      {"words before a matrix", Filled("", "a ", small, kMaxFileBytes)},
      {"words behind a matrix", Filled(small, "a ")},
      {"matrices", Filled("", small)},
      {"columns", Filled("GPU0 ", "a0 ")},
      {"names", Filled(wide, "GPU0\n")},
      {"large matrices", Filled("", square, "", kMaxFileBytes)},
      {"colours", Filled(small, "\x1b[0m ")},
  };
  for (const auto& [name, text] : files) ExpectBounded(name, text);
}

TEST(PeakMemory, OfJson) {
  const std::pair<const char*, std::string> files[] = {
      {"maps in a report", Filled("{\"format\": [", "{\"a\":{\"a\":{}}},", "0]}", kMaxDoctorBytes)},
      {"strings in a report", Filled("{\"format\": [", "\"0123456789abcdef\",", "0]}", kMaxDoctorBytes)},
      {"keys in a report", Filled("{\"format\": {", "\"0123456789abcdef\":0,", "\"\":0}}", kMaxDoctorBytes)},
      {"lists in lists", Filled("{\"a\":", "[", "", kMaxDoctorBytes)},
      {"a long number", Filled("{\"a\":", "1", "", kMaxDoctorBytes)},
      {"a long string", Filled("{\"a\":\"", "1", "\"}", kMaxDoctorBytes)},
  };
  for (const auto& [name, text] : files) ExpectBounded(name, text);
}

}  // namespace
}  // namespace mrs::cluster
