// What a text is that describes a machine and is nothing that is read here: said by its name, with what to give
// instead.
//
//   "==== ROCm System Management Interface ====\n..."  ->  a table of rocm-smi; give what NCCL_TOPO_DUMP_FILE writes
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mrs::cluster {

// "is what rocm-smi prints, which ...; give ..."; nothing: not known.
std::optional<std::string> ForeignText(std::string_view text);

}  // namespace mrs::cluster
