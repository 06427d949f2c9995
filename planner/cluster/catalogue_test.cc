#include "planner/cluster/catalogue.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

namespace mrs::cluster {
namespace {

std::string Found(std::string_view name) {
  const DeviceModel* row = FindDeviceModel(name);
  return row != nullptr ? std::string(row->name) : "none";
}

TEST(Catalogue, EverySpellingIsOneModel) {
  const std::map<std::string, std::string> spellings = {
      {"NVIDIA H100 80GB HBM3", "H100-SXM"},
      {"H100", "H100-SXM"},
      {"h100-sxm5", "H100-SXM"},
      {"H100 SXM", "H100-SXM"},
      {"NVIDIA H100 PCIe", "H100-PCIe"},
      {"NVIDIA H100 NVL", "H100-NVL"},
      {"NVIDIA H200", "H200-SXM"},
      {"NVIDIA H200 NVL", "H200-NVL"},
      {"NVIDIA A100-SXM4-40GB", "A100-SXM-40GB"},
      {"NVIDIA A100-SXM4-80GB", "A100-SXM-80GB"},
      {"A100-SXM4-40GB", "A100-SXM-40GB"},
      {"A100", "A100-SXM-80GB"},
      {"A100-SXM4-40G", "A100-SXM-40GB"},
      {"H100 (SXM5)", "H100-SXM"},
      {"AMD Instinct MI300X VF", "MI300X"},
      {"NVIDIA A100-PCIE-40GB", "A100-PCIe-40GB"},
      {"NVIDIA A100 80GB PCIe", "A100-PCIe-80GB"},
      {"NVIDIA A800-SXM4-80GB", "A800-SXM-80GB"},
      {"NVIDIA B200", "B200"},
      {"NVIDIA GB200", "GB200"},
      {"NVIDIA L4", "L4"},
      {"NVIDIA L40S", "L40S"},
      {"NVIDIA A10", "A10"},
      {"NVIDIA GeForce RTX 3090", "RTX-3090"},
      {"rtx_4090", "RTX-4090"},
      {"RTX5090", "RTX-5090"},
      {"NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX-PRO-6000"},
      {"RTX PRO 6000", "RTX-PRO-6000"},
      {"NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000-Server"},
      {"AMD Instinct MI300X", "MI300X"},
      {"AMD Instinct MI300X OAM", "MI300X"},
      {"cpu", "CPU"},
  };
  for (const auto& [spelling, name] : spellings) EXPECT_EQ(Found(spelling), name) << spelling;
}

TEST(Catalogue, WhatIsNearlyAModelIsNone) {
  for (const char* name : {"", " ", "-", "NVIDIA", "RTX 3090 Ti", "NVIDIA GeForce RTX 4090 D", "A1", "A1000", "H100X",
                           "L40", "A10G", "RTX 4090 Laptop GPU", "H", "100", "a100 a100sxm"}) {
    EXPECT_EQ(Found(name), "none") << name;
  }
  EXPECT_EQ(Found(std::string(1 << 20, 'h')), "none");
}

TEST(Catalogue, NoSpellingAndNoIdIsTwoModels) {
  std::set<std::string> names;
  std::set<uint32_t> ids;
  for (const DeviceModel& row : Catalogue()) {
    EXPECT_TRUE(names.insert(NormalizedModel(row.name)).second) << row.name;
    std::istringstream words{std::string(row.aliases)};
    for (std::string word; words >> word;) {
      EXPECT_TRUE(names.insert(word).second) << row.name << ": " << word;
      EXPECT_EQ(word, NormalizedModel(word)) << "never found";
      EXPECT_EQ(FindDeviceModel(word), &row);
    }
    EXPECT_EQ(FindDeviceModel(row.name), &row);
    for (const uint32_t id : row.pci_ids) {
      if (id == 0) continue;
      EXPECT_TRUE(ids.insert(id).second) << row.name;
      EXPECT_EQ(FindDevicePci(static_cast<uint16_t>(id >> 16), static_cast<uint16_t>(id)), &row);
    }
  }
  EXPECT_EQ(FindDevicePci(0, 0), nullptr);
  EXPECT_EQ(FindDevicePci(0x10DE, 0x1EB8), nullptr);
  EXPECT_EQ(FindDevicePci(0x10DE, 0x2330)->name, "H100-SXM");
}

TEST(Catalogue, EveryFigureIsThereWithItsSource) {
  for (const DeviceModel& row : Catalogue()) {
    SCOPED_TRACE(row.name);
    EXPECT_FALSE(row.source.empty());
    EXPECT_FALSE(row.memory_source.empty());
    if (row.kind == DeviceKind::kCpu) {
      EXPECT_EQ(row.memory_bytes, 0);
      continue;
    }
    EXPECT_TRUE(row.source.starts_with("https://"));
    EXPECT_GT(row.memory_bytes, uint64_t{20} << 30);
    EXPECT_GE(row.memory_gigabytes, 300);
    EXPECT_EQ(row.kind == DeviceKind::kCuda, row.sm != 0);
    EXPECT_EQ(row.peer_links == 0, row.peer_gigabytes == 0);
    EXPECT_EQ(row.pcie_lanes, 16);
    EXPECT_GE(GigatransfersOf(row.pcie_generation), 16);
    EXPECT_TRUE(row.joined == Joined::kPcie || row.peer_links > 0);
    EXPECT_TRUE(row.joined != Joined::kMesh || row.most_per_node == row.peer_links + 1);
  }
}

// Of each, all links and both directions are what the data sheet's headline says, in GB/s.
TEST(Catalogue, LinksAddUpToTheHeadline) {
  const std::map<std::string_view, double> headlines = {
      {"A100-SXM-80GB", 600}, {"A800-SXM-80GB", 400}, {"H100-SXM", 900},   {"H100-NVL", 600},
      {"H200-SXM", 900},      {"B200", 1800},         {"RTX-3090", 112.5}, {"MI300X", 896}};
  for (const auto& [name, gigabytes] : headlines) {
    const DeviceModel* row = FindDeviceModel(name);
    EXPECT_EQ(row->peer_links * row->peer_gigabytes * 2, gigabytes) << name;
  }
}

TEST(Catalogue, NearestIsForMessages) {
  EXPECT_EQ(NearestDeviceModel("H10O-SXM")->name, "H100-SXM");
  EXPECT_EQ(NearestDeviceModel("L40")->name, "L4");
  EXPECT_EQ(NearestDeviceModel("rtx 3090ti")->name, "RTX-3090");
  EXPECT_EQ(NearestDeviceModel("MI300A")->name, "MI300X");
}

}  // namespace
}  // namespace mrs::cluster
