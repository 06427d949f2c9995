#include "plans/append.h"

#include <iterator>

namespace mrs {

void AppendAll(std::string* out, fmt::string_view format, fmt::format_args args) {
  fmt::vformat_to(std::back_inserter(*out), format, args);
}

}  // namespace mrs
