// Feeds arbitrary bytes to what judges the head of a request, and to the routes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/serve/http_head.h"
#include "runtime/serve/http_route.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::serve;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const RequestLine line = JudgeRequestLine(bytes, 256);
  MRS_CHECK(!line.minor_digit.has_value() || *line.minor_digit < bytes.size());
  // One field a line; the first two lines are the method and the target.
  std::vector<HttpField> fields;
  std::vector<std::string> lines(1);
  for (const char c : bytes) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back().push_back(c);
    }
  }
  for (const std::string& text : lines) {
    const size_t colon = std::min(text.find(':'), text.size());
    fields.push_back(
        {std::string_view(text).substr(0, colon), std::string_view(text).substr(std::min(colon + 1, text.size()))});
  }
  const HeadFacts facts = JudgeFields(size % 2 == 0 ? 10 : 11, fields);
  MRS_CHECK(!facts.fault.has_value() || facts.fault->status >= 400);
  RequestHead head;
  head.method = lines[0];
  if (lines.size() > 1) head.target = lines[1];
  if (lines.size() > 2) head.host = lines[2];
  const Routed routed = Route(head);
  MRS_CHECK(routed.error.has_value() == (routed.endpoint == Endpoint::kNone));
  return 0;
}
