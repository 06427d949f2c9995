#include "planner/cluster/catalogue.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "plans/device_model.h"

namespace mrs::cluster {
namespace {

std::string Found(std::string_view name) {
  const DeviceModel* row = FindDeviceModel(name);
  return row != nullptr ? std::string(row->name) : "none";
}

const std::map<std::string, std::string>& Spellings() {
  static const std::map<std::string, std::string> spellings = {
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
      {"Tesla V100-SXM2-16GB", "V100-SXM2-16GB"},
      {"Tesla V100-SXM2-32GB", "V100-SXM2-32GB"},
      {"Tesla V100-PCIE-32GB", "V100-PCIe-32GB"},
      {"V100", "V100-SXM2-16GB"},
      {"Tesla P100-PCIE-16GB", "P100-PCIe-16GB"},
      {"Tesla T4", "T4"},
      {"NVIDIA A10G", "A10G"},
      {"NVIDIA A30", "A30"},
      {"NVIDIA A40", "A40"},
      {"NVIDIA A800 80GB PCIe", "A800-PCIe-80GB"},
      {"NVIDIA L40", "L40"},
      {"NVIDIA L20", "L20"},
      {"NVIDIA H20", "H20"},
      {"NVIDIA H20-3e", "H20-3e"},
      {"NVIDIA H800", "H800-SXM"},
      {"NVIDIA H800 PCIe", "H800-PCIe"},
      {"NVIDIA GH200 480GB", "GH200-96GB"},
      {"NVIDIA GH200 144G HBM3e", "GH200-144GB"},
      {"NVIDIA B300 SXM6 AC", "B300"},
      {"NVIDIA GB300", "GB300"},
      {"NVIDIA GeForce RTX 3080", "RTX-3080"},
      {"NVIDIA GeForce RTX 3090 Ti", "RTX-3090-Ti"},
      {"NVIDIA GeForce RTX 4080", "RTX-4080"},
      {"NVIDIA GeForce RTX 4090 D", "RTX-4090-D"},
      {"NVIDIA GeForce RTX 5080", "RTX-5080"},
      {"NVIDIA RTX A5000", "RTX-A5000"},
      {"NVIDIA RTX A6000", "RTX-A6000"},
      {"A6000", "RTX-A6000"},
      {"NVIDIA RTX 6000 Ada Generation", "RTX-6000-Ada"},
      {"NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "RTX-PRO-6000-Max-Q"},
      {"AMD Instinct MI50", "MI50-16GB"},
      {"AMD Instinct MI100", "MI100"},
      {"AMD Instinct MI210", "MI210"},
      {"AMD Instinct MI250X / MI250", "MI250X"},
      {"AMD Instinct MI300A", "MI300A"},
      {"AMD Instinct MI325X", "MI325X"},
      {"AMD Instinct MI355X", "MI355X"},
      {"cpu", "CPU"},
      {"emu 2gb", "EMU-2GB"},
  };
  return spellings;
}

TEST(Catalogue, EverySpellingIsOneModel) {
  for (const auto& [spelling, name] : Spellings()) EXPECT_EQ(Found(spelling), name) << spelling;
}

// By its model a rank tells whether its device is the plan's: of all that drivers say here, that of the row and of no
// other, but for what has another size alone.
TEST(Catalogue, ModelsAreTakenForTheirOwnAlone) {
  const std::regex size("-[0-9]+GB"), module("SXM[0-9]");
  for (const auto& [spelling, name] : Spellings()) {
    if (!spelling.starts_with("NVIDIA ") && !spelling.starts_with("Tesla ")) continue;
    for (const DeviceModel& row : Catalogue()) {
      if (row.kind != DeviceKind::kCuda || row.name.starts_with("EMU-")) continue;
      const auto chip = [&](const std::string& of) {
        return std::regex_replace(std::regex_replace(of, size, ""), module, "SXM");
      };
      EXPECT_EQ(MayBeModel(row.name, spelling), chip(std::string(row.name)) == chip(name))
          << row.name << ", " << spelling;
    }
  }
}

TEST(Catalogue, WhatIsNearlyAModelIsNone) {
  for (const char* name : {"", " ", "-", "NVIDIA", "RTX 3090 Super", "NVIDIA GeForce RTX 4070 Ti", "A1", "A1000",
                           "H100X", "L41", "A10M", "RTX 4090 Laptop GPU", "H", "100", "a100 a100sxm"}) {
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
  EXPECT_EQ(FindDevicePci(0x10DE, 0x1B80), nullptr);
  EXPECT_EQ(FindDevicePci(0x10DE, 0x1EB8)->name, "T4");
  EXPECT_EQ(FindDevicePci(0x1002, 0x740C)->name, "MI250X");
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
    if (row.name.starts_with("EMU-")) {  // no device: nothing is known but what the emulator says of itself
      EXPECT_EQ(row.memory_bytes, uint64_t{2} << 30);
      EXPECT_EQ(row.sm, 80);
      EXPECT_EQ(row.peer_links + row.pcie_lanes, 0);
      continue;
    }
    EXPECT_TRUE(row.source.starts_with("https://"));
    EXPECT_GE(row.memory_bytes, uint64_t{10} << 30);
    EXPECT_LT(row.memory_bytes, uint64_t{512} << 30);
    EXPECT_GE(row.memory_gigabytes, 288);
    EXPECT_LE(row.memory_gigabytes, 8000);
    // Ampere was NVIDIA's first with bf16.
    EXPECT_TRUE(row.sm == 0 || row.sm >= 80 || row.bf16_teraflops == 0);
    EXPECT_EQ(row.kind == DeviceKind::kCuda, row.sm != 0);
    EXPECT_EQ(row.kind == DeviceKind::kRocm, !row.gcn.empty());
    EXPECT_EQ(row.peer_links == 0, row.peer_gigabytes == 0);
    EXPECT_TRUE(row.pcie_lanes == 16 || row.pcie_lanes == 8);
    EXPECT_GE(GigatransfersOf(row.pcie_generation), 8);
    EXPECT_TRUE(row.joined == Joined::kPcie || row.peer_links > 0);
    EXPECT_TRUE(row.joined != Joined::kMesh || row.most_per_node == row.peer_links + 1);
  }
}

// Of each, all links and both directions are what the data sheet's headline says, in GB/s.
TEST(Catalogue, LinksAddUpToTheHeadline) {
  const std::map<std::string_view, double> headlines = {
      {"A100-SXM-80GB", 600},  {"A800-SXM-80GB", 400}, {"H100-SXM", 900},
      {"H100-NVL", 600},       {"H200-SXM", 900},      {"B200", 1800},
      {"RTX-3090", 112.5},     {"MI300X", 896},        {"P100-SXM2-16GB", 160},
      {"V100-SXM2-32GB", 300}, {"A30", 200},           {"A40", 112.5},
      {"H800-SXM", 400},       {"H20", 900},           {"GH200-96GB", 900},
      {"GB300", 1800},         {"RTX-A6000", 112.5},   {"MI50-16GB", 184},
      {"MI100", 276},          {"MI210", 300},         {"MI250X", 800},
      {"MI325X", 896},         {"MI355X", 1075.2}};
  for (const auto& [name, gigabytes] : headlines) {
    const DeviceModel* row = FindDeviceModel(name);
    EXPECT_DOUBLE_EQ(row->peer_links * row->peer_gigabytes * 2, gigabytes) << name;
  }
}

// GeForce cards do not reach each other's memory over PCIe; those of workstations and data centers do.
TEST(Catalogue, GeForceCardsHaveNoPeersByPcie) {
  int without = 0;
  for (const DeviceModel& row : Catalogue()) without += row.pcie_peers ? 0 : 1;
  EXPECT_EQ(without, 17);
  for (const char* name :
       {"GeForce RTX 3060", "RTX-3090", "RTX-4070-Ti-SUPER", "NVIDIA GeForce RTX 4090", "RTX-5090-D"}) {
    EXPECT_FALSE(FindDeviceModel(name)->pcie_peers) << name;
  }
  for (const char* name : {"RTX-A6000", "RTX-5000-Ada", "RTX-6000-Ada", "RTX-PRO-6000", "L4", "L40S", "A100-PCIe-80GB",
                           "H100-PCIe", "EMU-2GB"}) {
    EXPECT_TRUE(FindDeviceModel(name)->pcie_peers) << name;
  }
}

TEST(Catalogue, NearestIsForMessages) {
  EXPECT_EQ(NearestDeviceModel("H10O-SXM")->name, "H100-SXM");
  EXPECT_EQ(NearestDeviceModel("L42S")->name, "L40S");
  EXPECT_EQ(NearestDeviceModel("rtx 3090 tie")->name, "RTX-3090-Ti");
  EXPECT_EQ(NearestDeviceModel("MI325A")->name, "MI325X");
}

}  // namespace
}  // namespace mrs::cluster
