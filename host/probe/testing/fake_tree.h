// A tree of /proc and /sys as a test wants it, in a folder that goes with the object.
//
//   const FakeTree host({{"/proc/cpuinfo", "vendor_id\t: GenuineIntel\n"}}, {{"/sys/class/net/eth0/device",
//   "../../../devices/..."}}); ReadCpus(host.root());
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace mrs::probe {

class FakeTree {
 public:
  using Files = std::map<std::string, std::string>;

  // `links`: where a symbolic link lies -> where it leads, a folder under the root that is made.
  explicit FakeTree(const Files& files, const Files& links = {}) {
    std::string pattern = ::testing::TempDir() + "/mrs_probe_XXXXXX";
    root_ = mkdtemp(pattern.data());
    for (const auto& [name, text] : files) {
      const std::filesystem::path path = root_ + name;
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path) << text;
    }
    for (const auto& [name, target] : links) {
      std::filesystem::create_directories(std::filesystem::path(root_ + name).parent_path());
      std::filesystem::create_directories(root_ + target);
      std::filesystem::create_directory_symlink(root_ + target, root_ + name);
    }
  }
  ~FakeTree() { std::filesystem::remove_all(root_); }
  FakeTree(const FakeTree&) = delete;
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

}  // namespace mrs::probe
