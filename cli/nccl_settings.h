// The variables that NCCL finds: of the environment, and of its configuration files, which it adds to the environment
// where they are not there yet. Each line of such a file is a variable, NAME=VALUE, or a comment from # on.
//
//   ReadNcclSettings({"NCCL_DEBUG=INFO", "NCCL_CONF_FILE=/a.conf"}, {{{"/root/.nccl.conf", ""}}, "/etc/nccl.conf"})
//   // settings: NCCL_CONF_FILE=/a.conf, NCCL_DEBUG=INFO, NCCL_IB_HCA=mlx5 (/a.conf), NCCL_NTHREADS=64 (/etc/nccl.conf)
//
// As NCCL has it (src/misc/param.cc, 2.14 to 2.30): the file that NCCL_CONF_FILE names (from 2.23 on), or else
// .nccl.conf of the home, then the host's; what was set first stays. The home was the user database's, and is that of
// HOME from 2.30 on: where these differ, both files are read here, and each setting says of which version it is.
#pragma once

#include <string>
#include <vector>

namespace mrs::cli {

struct NcclFile {
  std::string path;
  std::string when;  // "" always
};
struct NcclFiles {
  std::vector<NcclFile> of_home;  // one, or of two versions; none: nobody's home is known
  std::string of_host = "/etc/nccl.conf";
};
struct NcclSetting {
  std::string name, value;
  std::string from;  // "" the environment; "/etc/nccl.conf"; "/home/a/.nccl.conf, from NCCL 2.30 on"
};
struct NcclSettings {
  std::vector<NcclSetting> settings;  // by name
  std::vector<std::string> unread;    // what was not looked into, and why
};

NcclFiles FindNcclFiles();
// `environment`: entries as of environ, ended by null. No more than the start of a file is read.
NcclSettings ReadNcclSettings(const char* const* environment, const NcclFiles& files);
// Whether NCCL's calls wait, whatever a program asks for: NCCL_COMM_BLOCKING is 1. Null: they do not.
const NcclSetting* BlockingSetting(const NcclSettings& settings);

}  // namespace mrs::cli
