// The few functions of {fmt} that are not templates, compiled into a static library: Debian ships only libfmt.so, which
// a slim container lacks. Header-only mode makes them inline here, and each use below makes the compiler emit one;
// everybody else declares them and links this object.
#define FMT_HEADER_ONLY
#include <fmt/format.h>

namespace mrs {

extern void* const kFmtFunctions[];
void* const kFmtFunctions[] = {
    reinterpret_cast<void*>(static_cast<std::string (*)(fmt::string_view, fmt::format_args)>(&fmt::vformat)),
    reinterpret_cast<void*>(static_cast<void (*)(fmt::string_view, fmt::format_args)>(&fmt::vprint)),
    reinterpret_cast<void*>(static_cast<void (*)(std::FILE*, fmt::string_view, fmt::format_args)>(&fmt::vprint)),
    reinterpret_cast<void*>(&fmt::detail::decimal_point_impl<char>),
    reinterpret_cast<void*>(&fmt::detail::thousands_sep_impl<char>),
    reinterpret_cast<void*>(&fmt::detail::dragonbox::to_decimal<double>),
    reinterpret_cast<void*>(&fmt::detail::dragonbox::to_decimal<float>),
    reinterpret_cast<void*>(static_cast<bool (*)(uint32_t)>(&fmt::detail::is_printable)),
    reinterpret_cast<void*>(&fmt::detail::throw_format_error),
};

}  // namespace mrs
