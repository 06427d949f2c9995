#include "planner/model_name.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace mrs {
namespace {

TEST(NameOfFolder, IsTheLastComponent) {
  EXPECT_EQ(NameOfFolder("models/mini"), "mini");
  EXPECT_EQ(NameOfFolder("models/mini/"), "mini");
  EXPECT_EQ(NameOfFolder("models/mini//"), "mini");
  EXPECT_EQ(NameOfFolder("/data/My Model 7B"), "My Model 7B");
  EXPECT_EQ(NameOfFolder("models/mini/."), "mini");
  EXPECT_EQ(NameOfFolder("models/mini/../big"), "big");
  const std::string here = std::filesystem::current_path().filename().string();
  EXPECT_EQ(NameOfFolder("."), here);
  EXPECT_EQ(NameOfFolder("./"), here);
  EXPECT_EQ(NameOfFolder("/"), "model");
}

TEST(NameOfFolder, CallsAHubSnapshotByItsRepository) {
  const std::string commit = "/snapshots/9c925d64d72725edaf899c6cb9c377fd0709d9c5";
  EXPECT_EQ(NameOfFolder("/cache/hub/models--Qwen--Qwen3-8B" + commit), "Qwen/Qwen3-8B");
  EXPECT_EQ(NameOfFolder("/cache/hub/models--Qwen--Qwen3-8B" + commit + "/"), "Qwen/Qwen3-8B");
  EXPECT_EQ(NameOfFolder("models--meta-llama--Llama-3.1-8B/snapshots/main"), "meta-llama/Llama-3.1-8B");
  EXPECT_EQ(NameOfFolder("/cache/hub/models--gpt2" + commit), "gpt2");
  // Only where it is one.
  EXPECT_EQ(NameOfFolder("/cache/hub/models--Qwen--Qwen3-8B/other/abc"), "abc");
  EXPECT_EQ(NameOfFolder("/cache/hub/datasets--Qwen--x/snapshots/abc"), "abc");
  EXPECT_EQ(NameOfFolder("/cache/models--/snapshots/abc"), "abc");
  EXPECT_EQ(NameOfFolder("/snapshots/abc"), "abc");
}

}  // namespace
}  // namespace mrs
