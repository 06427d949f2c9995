// The cgroups around this process, of version 1 and 2: where the files of one controller lie, from its own group up.
//
//   FoldersOf("cpu", "")  ->  v2: {"/sys/fs/cgroup/pod/app", "/sys/fs/cgroup/pod", "/sys/fs/cgroup"}
//                             v1: {"/sys/fs/cgroup/cpu,cpuacct/pod", "/sys/fs/cgroup/cpu,cpuacct"}
//
// A limit may sit on any of them, and the lowest holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mrs {

struct CgroupFolders {
  std::vector<std::string> v2;
  std::vector<std::string> v1;
};

// Where /proc/self/mountinfo says they are mounted, or where they commonly are. A container may see its own group as
// the root, and a path through ".." lies outside of what it sees: then the root alone is looked at. `root` is "" but
// for tests.
CgroupFolders FoldersOf(std::string_view controller, const std::string& root);

// A kernel file states no size, so it is read up to 64 KiB; "" where there is none.
std::string ReadKernelFile(const std::string& path);

// The decimal number that the text begins with, spaces aside; none of "max" and anything else.
std::optional<uint64_t> LeadingNumber(std::string_view text);

// The rest of the first line that begins with `prefix`.
std::optional<std::string_view> LineAfter(std::string_view text, std::string_view prefix);

}  // namespace mrs
