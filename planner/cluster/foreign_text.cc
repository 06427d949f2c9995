#include "planner/cluster/foreign_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace mrs::cluster {
namespace {

// How much is looked at: what a text is shows early.
constexpr size_t kLooked = size_t{64} << 10;

enum class At { kLine, kAnywhere };  // of a line its beginning, after blanks and in any letters; or exactly, anywhere

struct Kind {
  At at;
  std::string_view mark;
  std::string_view is, give;
};

constexpr std::string_view kMatrix = "what nvidia-smi topo -m prints";
constexpr std::string_view kDump = "the file that RCCL writes where NCCL_TOPO_DUMP_FILE says";
constexpr std::string_view kNcclDump = "the file that NCCL writes where NCCL_TOPO_DUMP_FILE says";
constexpr std::string_view kDoctor = "what mrs-exec doctor --json prints there";
constexpr std::string_view kNodes = "a cluster file, which lists devices under 'nodes'";

// The first that fits is it.
constexpr Kind kKinds[] = {
    {At::kAnywhere, "ROCm System Management Interface", "what rocm-smi prints, which is not read", kDump},
    {At::kAnywhere, "Weight between two GPUs", "what rocm-smi --showtopo prints, which is not read", kDump},
    {At::kAnywhere, "Hops between two GPUs", "what rocm-smi --showtopo prints, which is not read", kDump},
    {At::kAnywhere, "Link Type between two GPUs", "what rocm-smi --showtopo prints, which is not read", kDump},
    {At::kLine, "LINK TYPE TABLE:", "what amd-smi topology prints, which is not read", kDump},
    {At::kLine, "ACCESS TABLE:", "what amd-smi topology prints, which is not read", kDump},
    {At::kLine, "WEIGHT TABLE:", "what amd-smi topology prints, which is not read", kDump},
    {At::kAnywhere, "\"link_status\"", "what amd-smi topology --json prints, which is not read", kDump},
    {At::kLine, "| Device ID | Topology Information", "what xpu-smi topology prints, of GPUs that are not planned for",
     kNodes},
    {At::kLine, "GPU 0/0", "what xpu-smi topology -m prints, of GPUs that are not planned for", kNodes},
    {At::kAnywhere, "HCCS", "what npu-smi info -t topo prints, of devices that are not planned for", kNodes},
    {At::kLine, "mx-smi", "what mx-smi prints, of devices that are not planned for", kNodes},
    {At::kAnywhere, "| Topology Information",
     "what dcgmi topo prints, which has the ways from one GPU or of a group alone", kMatrix},
    {At::kAnywhere, "P2P Connectivity Matrix",
     "what p2pBandwidthLatencyTest prints, which has rates and not the ways that they take", kMatrix},
    {At::kAnywhere, "NCCL INFO", "a log of NCCL's, which has a part of the topology alone", kNcclDump},
    {At::kLine, "NVIDIA-SMI has failed", "what nvidia-smi prints where it reaches no driver", kMatrix},
    {At::kAnywhere, "| NVIDIA-SMI ", "what nvidia-smi prints, which does not say how devices are joined", kMatrix},
    {At::kLine, "GPU 0: ", "what nvidia-smi -L or nvlink -s prints, which does not say what is joined to what",
     kMatrix},
    {At::kLine, "=====NVSMI LOG=", "what nvidia-smi -q prints, which does not say how devices are joined", kMatrix},
    {At::kLine, "==============NVSMI LOG", "what nvidia-smi -q prints, which does not say how devices are joined",
     kMatrix},
    {At::kLine, "SwitchName=",
     "a file of Slurm's, which says what switch a node hangs from and not how its devices are joined", kNodes},
    {At::kLine, "NodeName=",
     "a file of Slurm's, which says what switch a node hangs from and not how its devices are joined", kNodes},
    {At::kLine, "Machine (", "a drawing of lstopo (hwloc), which is not read", kMatrix},
    {At::kLine, "Machine L#", "a drawing of lstopo (hwloc), which is not read", kMatrix},
    {At::kLine, "-[0000:", "what lspci -t prints, which does not say what the devices are", kMatrix},
    {At::kLine, "-+-[0000:", "what lspci -t prints, which does not say what the devices are", kMatrix},
    {At::kAnywhere, " VGA compatible controller", "what lspci prints, which does not say how devices are joined",
     kMatrix},
    {At::kAnywhere, " 3D controller", "what lspci prints, which does not say how devices are joined", kMatrix},
    {At::kLine, "node distances:", "what numactl -H prints, which has the sockets alone", kDoctor},
    {At::kLine, "CA '", "what ibstat prints, which has the network cards alone", kMatrix},
    {At::kLine, "hca_id:", "what ibv_devinfo prints, which has the network cards alone", kMatrix},
    {At::kAnywhere, " slots=", "a hostfile, which has names and counts alone", kNodes},
};

bool SameLetters(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
    return lower(x) == lower(y);
  });
}

bool HasLine(std::string_view text, std::string_view mark) {
  for (size_t at = 0; at < text.size();) {
    at = std::min(text.find_first_not_of(" \t\r", at), text.size());
    if (SameLetters(text.substr(at, mark.size()), mark)) return true;
    const size_t end = text.find('\n', at);
    if (end == text.npos) break;
    at = end + 1;
  }
  return false;
}

}  // namespace

std::optional<std::string> ForeignText(std::string_view text) {
  text = text.substr(0, kLooked);
  for (const Kind& kind : kKinds) {
    const bool fits = kind.at == At::kLine ? HasLine(text, kind.mark) : text.find(kind.mark) != text.npos;
    if (fits) return fmt::format("is {}; give {}", kind.is, kind.give);
  }
  return std::nullopt;
}

}  // namespace mrs::cluster
