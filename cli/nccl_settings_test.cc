#include "cli/nccl_settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace mrs::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Folder {
  Folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  std::string Write(const char* name, std::string_view text) const {
    std::ofstream(path + name, std::ios::binary) << text;
    return path + name;
  }
  const std::string path = ::testing::TempDir() + "nccl_settings/";
};

std::vector<std::string> Texts(const NcclSettings& found) {
  std::vector<std::string> texts;
  for (const NcclSetting& one : found.settings) {
    texts.push_back(fmt::format("{}={}{}{}", one.name, one.value, one.from.empty() ? "" : " of ", one.from));
  }
  return texts;
}

TEST(NcclSettings, OfTheEnvironmentAreByName) {
  const char* const environment[] = {
      "NCCL_P2P_DISABLE=1", "HOME=/", "NCCL_DEBUG=INFO", "NCCL_DEBUG=WARN", "XNCCL_A=1", "NCCL_", nullptr};
  EXPECT_THAT(Texts(ReadNcclSettings(environment, {{}, "/nowhere"})),
              ElementsAre("NCCL_DEBUG=INFO", "NCCL_P2P_DISABLE=1"));
  EXPECT_THAT(Texts(ReadNcclSettings(nullptr, {{}, "/nowhere"})), IsEmpty());
}

TEST(NcclSettings, OfFilesAreWhatIsNotSetBefore) {
  const Folder folder;
  const NcclFiles files = {{{folder.Write("home", "NCCL_A=home\nNCCL_B=home\nNCCL_B=again\n"), ""}},
                           folder.Write("host", "NCCL_A=host\nNCCL_B=host\nNCCL_C=host")};
  const char* const environment[] = {"NCCL_A=environment", nullptr};
  EXPECT_THAT(Texts(ReadNcclSettings(environment, files)),
              ElementsAre("NCCL_A=environment", "NCCL_B=home of " + folder.path + "home",
                          "NCCL_C=host of " + folder.path + "host"));
  // Instead of the home's.
  const std::string named = "NCCL_CONF_FILE=" + folder.Write("named", "NCCL_C=named\n");
  const char* const names[] = {named.c_str(), nullptr};
  EXPECT_THAT(Texts(ReadNcclSettings(names, files)),
              ElementsAre("NCCL_A=host of " + folder.path + "host", "NCCL_B=host of " + folder.path + "host",
                          "NCCL_C=named of " + folder.path + "named", named));
  const char* const empty[] = {"NCCL_CONF_FILE=", "NCCL_A=1", "NCCL_B=1", "NCCL_C=1", nullptr};
  EXPECT_TRUE(ReadNcclSettings(empty, files).unread.empty());  // as if it named none
}

// One NCCL reads one of the two, so neither hides what the other, or the host's, says.
TEST(NcclSettings, OfTwoHomesSayOfWhichVersion) {
  const Folder folder;
  const NcclFiles files = {
      {{folder.Write("one", "NCCL_A=1"), "from NCCL 2.30 on"}, {folder.Write("other", "NCCL_A=2"), "before NCCL 2.30"}},
      folder.Write("host", "NCCL_A=3")};
  EXPECT_THAT(
      Texts(ReadNcclSettings(nullptr, files)),
      ElementsAre("NCCL_A=1 of " + folder.path + "one, from NCCL 2.30 on",
                  "NCCL_A=2 of " + folder.path + "other, before NCCL 2.30", "NCCL_A=3 of " + folder.path + "host"));
}

TEST(NcclSettings, OfAFileAreItsLinesAsNcclReadsThem) {
  const Folder folder;
  using namespace std::string_view_literals;
  const std::string file =
      folder.Write("a",
                   "# NCCL_NO=1\n#NCCL_NO=1\n\n=\nNCCL_NO\n NCCL_NO=1\nPATH=/tmp\nexport NCCL_NO=1\n"
                   "NCCL_A = 1\nNCCL_B=a=b\nNCCL_C=\r\nNCCL_D=x\0y\nNCCL_E=\xff\x1b[2J\nNCCL_\0F=1\n"sv);
  EXPECT_THAT(Texts(ReadNcclSettings(nullptr, {{}, file})),
              ElementsAre("NCCL_A = 1 of " + file, "NCCL_B=a=b of " + file, "NCCL_C=\r of " + file,
                          "NCCL_D=x of " + file, "NCCL_E=\xff\x1b[2J of " + file));
}

TEST(NcclSettings, WhatIsNotLookedIntoIsSaid) {
  const Folder folder;
  const auto unread = [](const std::string& file, bool is_named) {
    const std::string named = "NCCL_CONF_FILE=" + file;
    const char* const environment[] = {is_named ? named.c_str() : "HOME=/", nullptr};
    return ReadNcclSettings(environment, {{}, is_named ? "/nowhere" : file}).unread;
  };
  EXPECT_THAT(unread("/nowhere", false), IsEmpty());  // there need be none
  EXPECT_THAT(unread("/nowhere", true), ElementsAre("/nowhere: cannot be opened: No such file or directory"));
  EXPECT_THAT(unread(folder.path, true), ElementsAre(folder.path + ": is a directory, expected a file"));
  const std::string pipe = folder.path + "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(unread(pipe, false), ElementsAre(pipe + ": is a pipe, expected a file"));
  EXPECT_THAT(unread("/dev/zero", true), ElementsAre("/dev/zero: is a device, expected a file"));
  // No more than the start, and whole lines of it.
  const std::string large =
      folder.Write("large", "NCCL_A=1\n" + std::string(65536 - 9 - 8, 'x') + "\nNCCL_B=123\nNCCL_C=1\n");
  EXPECT_THAT(unread(large, false), ElementsAre(large + ": what is past its first 65536 bytes"));
  EXPECT_THAT(Texts(ReadNcclSettings(nullptr, {{}, large})), ElementsAre("NCCL_A=1 of " + large));
  const std::string line = folder.Write("line", "NCCL_A=" + std::string(100000, 'x'));
  EXPECT_THAT(Texts(ReadNcclSettings(nullptr, {{}, line})), IsEmpty());
  EXPECT_THAT(unread(line, false), ElementsAre(line + ": what is past its first 65536 bytes"));
}

TEST(NcclSettings, TheHomeIsOfTheVariableOrOfTheUser) {
  const char* const before = std::getenv("HOME");
  const std::string home = before == nullptr ? "" : before;
  setenv("HOME", "/another", 1);
  const NcclFiles two = FindNcclFiles();
  unsetenv("HOME");
  const NcclFiles one = FindNcclFiles();
  if (before != nullptr) setenv("HOME", home.c_str(), 1);
  ASSERT_FALSE(two.of_home.empty());
  EXPECT_EQ(two.of_home[0].path, "/another/.nccl.conf");
  EXPECT_EQ(two.of_home[0].when, "from NCCL 2.30 on");
  EXPECT_EQ(two.of_home.size(), one.of_home.size() + 1);  // the user's, where the host knows the user
  for (const NcclFile& file : one.of_home) EXPECT_EQ(file.when, "before NCCL 2.30");
  EXPECT_EQ(two.of_host, "/etc/nccl.conf");
}

}  // namespace
}  // namespace mrs::cli
