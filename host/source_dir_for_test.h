// Where the repository is, for tests that read its files. One source alone is compiled with the path, so that a
// compiler cache serves every checkout.
#pragma once

#include <string>

namespace mrs {

std::string SourceDir();

}  // namespace mrs
