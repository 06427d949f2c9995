// Up to eight RING_CONFIG files, between lines of 0x01, and a message at the end: judged together, placed and written
// in every format.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "planner/check/find_inputs.h"
#include "planner/check/message_place.h"
#include "planner/check/ring_check.h"
#include "planner/check/write_report.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::check;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<RingFile> files;
  for (size_t end = 0; files.size() < 8 && (end = rest.find("\x01\n")) != rest.npos; rest.remove_prefix(end + 2)) {
    const std::string text(rest.substr(0, end));
    (void)KindOf(text, "config.json", files.size() % 2 == 0);
    (void)PlaceOfMessage("a", text, rest.substr(end));
    files.push_back({"ring\x1b" + std::to_string(files.size()), text, mrs::ReadRing(text)});
  }
  (void)FileOfMessage("m", rest);
  Report report;
  for (const RingFile& file : files) {
    for (Diagnostic& found : CheckRingFile(file)) report.diagnostics.push_back(std::move(found));
  }
  for (Diagnostic& found : CheckRing(files, true)) report.diagnostics.push_back(std::move(found));
  for (const bool verbose : {false, true}) {
    const WriteOptions options{.version = "0", .colour = verbose, .verbose = verbose};
    if (TextReport(report, options).find('\x1b') != std::string::npos && !verbose) std::abort();
    (void)JsonReport(report, options);
    (void)SarifReport(report, options);
    (void)JunitReport(report, options);
  }
  return 0;
}
