// Matrices of nvidia-smi topo -m: what is rebuilt gives the same classes again; what is wrong is said with its place.
#include "planner/cluster/smi_matrix.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <sstream>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/paths.h"
#include "planner/cluster/smi_table.h"

namespace mrs::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kTwoSwitches =
    "        GPU0  GPU1  GPU2  GPU3  NIC0  CPU Affinity  NUMA Affinity\n"
    "GPU0     X    PIX   PHB   SYS   PXB   0-7           0\n"
    "GPU1    PIX    X    PHB   SYS   PXB   0-7           0\n"
    "GPU2    PHB   PHB    X    SYS   PHB   0-7           0\n"
    "GPU3    SYS   SYS   SYS    X    SYS   8-15          1\n"
    "NIC0    PXB   PXB   PHB   SYS    X\n"
    "\nLegend:\n\n  X    = Self\n  PIX  = Connection traversing at most a single PCIe bridge\n\n"
    "NIC Legend:\n\n  NIC0: mlx5_0\n";

std::string Uniform(int gpus, const std::string& word) {
  std::ostringstream text;
  for (int b = 0; b < gpus; ++b) text << "\tGPU" << b;
  text << "\tCPU Affinity\tNUMA Affinity\n";
  for (int a = 0; a < gpus; ++a) {
    text << "GPU" << a;
    for (int b = 0; b < gpus; ++b) text << '\t' << (a == b ? "X" : word);
    text << '\t' << (a < gpus / 2 ? "0-23\t0\n" : "24-47\t1\n");
  }
  return text.str();
}

Cluster Read(std::string_view text) {
  Result<Cluster> cluster = ParseSmiMatrix(text, "m.txt");
  EXPECT_TRUE(cluster.ok()) << cluster.message();
  return cluster.ok() ? *std::move(cluster) : Cluster{.name = "", .nodes = {Node{}}, .network_gigabits = 0};
}

// The classes of the node that was made are those of the matrix.
void ExpectSameClasses(std::string_view text) {
  const Cluster cluster = Read(text);
  const auto tables = ReadSmiTables(text, "m.txt");
  ASSERT_TRUE(tables.ok());
  ASSERT_EQ(tables->size(), cluster.nodes.size());
  for (size_t t = 0; t < tables->size(); ++t) {
    const SmiTable& table = (*tables)[t];
    const auto part = [&](size_t i) {
      const bool nic = i >= table.gpu_count;
      return SmiPart{nic, static_cast<int>(nic ? i - table.gpu_count : i)};
    };
    for (size_t a = 0; a < table.names.size(); ++a) {
      for (size_t b = 0; b < table.names.size(); ++b) {
        if (table.cells[a][b].word.empty()) continue;
        EXPECT_EQ(SmiClass(cluster.nodes[t], part(a), part(b)), table.cells[a][b].word)
            << table.names[a] << " " << table.names[b];
      }
    }
  }
  const auto again = ParseCluster(CanonicalText(cluster), "canonical");
  ASSERT_TRUE(again.ok()) << again.message();
  EXPECT_EQ(*again, cluster);
}

TEST(SmiMatrix, IsATreeWithTheSameClasses) {
  ExpectSameClasses(kTwoSwitches);
  ExpectSameClasses(Uniform(4, "PIX"));
  ExpectSameClasses(Uniform(2, "NV2"));
  ExpectSameClasses(Uniform(8, "NV12"));
  ExpectSameClasses("GPU0 GPU1 GPU2\nGPU0 X NODE NODE\nGPU1 NODE X PXB\nGPU2 NODE PXB X\n");
  ExpectSameClasses("GPU0 CPU Affinity\nGPU0 X 0-7\n");
  // Eight GPUs with NVLinks, four cards: PIX to one, NODE within a socket.
  ExpectSameClasses(
      "GPU0 GPU1 GPU2 NIC0 NIC1\r\nGPU0 X NV8 NV8 NODE SYS\r\nGPU1 NV8 X NV8 PIX SYS\r\nGPU2 NV8 NV8 X SYS PIX\r\n"
      "NIC0 NODE PIX SYS X SYS\r\nNIC1 SYS SYS PIX SYS X\r\n");
}

TEST(SmiMatrix, EightGpusAreOneIsland) {
  for (const auto& [word, links] : {std::pair("NV18", 18), std::pair("NV12", 12)}) {
    const Cluster cluster = Read(Uniform(8, word));
    const Node& node = cluster.nodes.at(0);
    ASSERT_EQ(node.links.size(), 8u);
    EXPECT_EQ(node.links[3], (PeerLink{.from = 3, .to = kFabric, .count = links}));
    ASSERT_EQ(node.sockets.size(), 2u);
    EXPECT_EQ(node.devices[7].at.socket, 1);
    EXPECT_THAT(IslandsOf(node, PathsOf(node)), ElementsAre(ElementsAre(0, 1, 2, 3, 4, 5, 6, 7)));
  }
}

TEST(SmiMatrix, NamesCardsByTheLegendAndKeepsNuma) {
  const Cluster cluster = Read(kTwoSwitches);
  EXPECT_EQ(cluster.nodes[0].nics.at(0).name, "mlx5_0");
  EXPECT_EQ(cluster.nodes[0].sockets.at(1).numa, 1);
}

TEST(SmiMatrix, ReadsColoursTabsPromptsWrappedLinesAndOldNames) {
  const Cluster plain = Read("GPU0 GPU1 mlx5_0\nGPU0 X SYS PIX\nGPU1 SYS X SYS\nmlx5_0 PIX SYS X\n");
  for (const std::string_view text : {
           "root@host:~# nvidia-smi topo -m\n\x1b[4m\tGPU0\tGPU1\tmlx5_0\x1b[0m\nGPU0\t X \tSYS\tPIX\nGPU1\tSYS\t X "
           "\tSYS\nmlx5_0\tPIX\tSYS\t X \nroot@host:~#\n",
           "[4m\tGPU0 GPU1   mlx5_0[0m\nGPU0 X SOC PIX\nGPU1 SOC X SOC\nmlx5_0 PIX SOC X\n",
           "  GPU0 GPU1\n mlx5_0\n GPU0 X SYS\n PIX\n GPU1 SYS\n X SYS mlx5_0 PIX SYS X",
           "GPU0\xC2\xA0GPU1 mlx5_0\nGPU0 X SYS PIX\nGPU1 SYS X SYS\n",
       }) {
    EXPECT_EQ(Read(text), plain) << text;
  }
}

TEST(SmiMatrix, ReadsQuotesAndTables) {
  const auto text = [](const char* before, const char* between, const char* after) {
    std::string out;
    for (const std::vector<const char*>& row : std::vector<std::vector<const char*>>{
             {"GPU0", "GPU1", "CPU Affinity"}, {"GPU0", "X", "NV4", "0-7"}, {"GPU1", "NV4", "X", "0-7"}}) {
      out += before;
      for (const char* word : row) out += std::string(word) + between;
      out += std::string(after) + "\n";
    }
    return ParseSmiMatrix(out, "m.txt");
  };
  const Result<Cluster> plain = text("", "\t", "");
  ASSERT_TRUE(plain) << plain.message();
  EXPECT_EQ(plain->nodes[0].links.size(), 2u);
  for (const Result<Cluster>& other : {text("> ", " ", ""), text("| ", " | ", ""), text("^[[4m", "^[[0m ", "^[[0m")}) {
    ASSERT_TRUE(other) << other.message();
    EXPECT_EQ(*other, *plain);
  }
}

TEST(SmiMatrix, TellsBlankColumnsFromTheTitles) {
  const Cluster cluster = Read(
      "\tGPU0\tGPU1\tGPU2\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\tX\tNV18\tNV18\t0-3,8\t0\t\tN/A\n"
      "GPU1\tNV18\tX\tNV18\t\t5\t\tN/A\nGPU2\tNV18\tNV18\tX\t\t\t\tN/A\n");
  ASSERT_EQ(cluster.nodes[0].sockets.size(), 2u);
  EXPECT_EQ(cluster.nodes[0].sockets[1].numa, 5);
  EXPECT_EQ(cluster.nodes[0].devices[1].at.socket, 1);
}

TEST(SmiMatrix, ReadsWhatIsCutLaidOutOrNotedBeside) {
  const Cluster plain = Read("GPU0 GPU1 CPU Affinity NUMA Affinity\nGPU0 X PXB 0-3 0\nGPU1 PXB X 0-3 0\n");
  for (const std::string_view text : {
           "GPU0 GPU1 CPU Affinity NU\nMA Affinity GPU NUMA ID\nGPU0 X PXB 0-3 0\nN/A\nGPU1 PXB X 0-3 0\nN/A\n",
           "| | GPU0 | GPU1 | CPU Affinity | NUMA Affinity |\n|---|:---:|---:|:---|---|\n| GPU0 | X | PXB | 0-3 | 0 |\n"
           "| GPU1 | PXB | X | 0-3 | 0 |\n",
           "<pre>GPU0&nbsp;GPU1 CPU Affinity NUMA Affinity\n<b>GPU0</b> X PXB 0-3 0\nGPU1 PXB X 0-3 0</pre>\n",
           "<p>nvidia-smi topo -m</p><pre><code>\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\nGPU0\tX\tPXB\t0-3\t0\n"
           "GPU1\tPXB\tX\t0-3\t0\n</code></pre>",
           "<table><tr><th></th><th>GPU0</th><th>GPU1</th><th>CPU Affinity</th><th>NUMA Affinity</th></tr>\n"
           "<tr><td>GPU0</td><td>X</td><td>PXB</td><td>0-3</td><td>0</td></tr>"
           "<tr><td>GPU1</td><td>PXB</td><td>X</td><td>0-3</td><td>0</td></tr></table>",
           "GPU0 GPU1 CPU Affinity NUMA Affinity\nGPU0 X PXB 0-3 0 <- slow\nGPU1 PXB X 0-3 0 by the window\n",
           // Another table above, below, and one of a program's own.
           " GPU0 GPU1\n GPU0 X OK\n GPU1 OK X\nGPU0 GPU1 CPU Affinity NUMA Affinity\nGPU0 X PXB 0-3 0\n"
           "GPU1 PXB X 0-3 0\n\tGPU0\tGPU1\n\tGPU0\tX\tGNS\n\tGPU1\tGNS\tX\n\n     GPU0   GPU1\n"
           "GPU0  -  True\nGPU1  True  -\n",
       }) {
    EXPECT_EQ(Read(text), plain) << text;
  }
}

// GH200: the GPU's memory is NUMA node 1.
TEST(SmiMatrix, TellsGpusWithNumaNodesOfTheirOwn) {
  const auto of = [](const char* own) {
    return Read(fmt::format("\tGPU0\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\tX\tSYS\t0-71\t0\t\t{}\n"
                            "NIC0\tSYS\tX\n",
                            own))
        .nodes[0]
        .completed;
  };
  EXPECT_THAT(of("1"), ElementsAre(kOwnNumaNodes));
  EXPECT_THAT(of("N/A"), ElementsAre());
}

TEST(SmiMatrix, ACommentIsNoHost) {
  const Cluster cluster = Read("# GPU0 GPU1\n# GPU0 X PIX\n# GPU1 PIX X\n");
  EXPECT_EQ(cluster.nodes[0].name, "node-0");
  EXPECT_EQ(cluster.nodes[0].devices.size(), 2u);
}

TEST(SmiMatrix, MoreLinksThanAnyGpuHasAreASwitch) {
  const Cluster mesh = Read("GPU0 GPU1\nGPU0 X NV36\nGPU1 NV36 X\n");
  EXPECT_EQ(mesh.nodes[0].links[0], (PeerLink{.from = 0, .to = 1, .count = 36}));
  const Cluster fabric = Read(Uniform(4, "NV36"));
  EXPECT_EQ(fabric.nodes[0].links.at(3), (PeerLink{.from = 3, .to = kFabric, .count = 36}));
}

TEST(SmiMatrix, SeveralTablesAreSeveralNodes) {
  const std::string text = Uniform(2, "NV4") + "\nnode b\n" + Uniform(4, "PHB");
  const Cluster cluster = Read(text);
  ASSERT_EQ(cluster.nodes.size(), 2u);
  EXPECT_EQ(cluster.nodes[1].name, "node-1");
  EXPECT_EQ(cluster.nodes[1].devices.size(), 4u);
}

TEST(SmiMatrix, KeepsAsymmetricNvlinks) {
  const Cluster cluster = Read("GPU0 GPU1\nGPU0 X NV4\nGPU1 NV2 X\n");
  EXPECT_THAT(cluster.nodes[0].links,
              ElementsAre(PeerLink{.from = 0, .to = 1, .count = 4}, PeerLink{.from = 1, .to = 0, .count = 2}));
}

// Random trees: the class of two is where the digits of their numbers, read from the top, part.
TEST(SmiMatrix, RandomTreesGiveTheirClassesAgain) {
  std::mt19937 random(20);
  constexpr std::string_view kWords[] = {"SYS", "NODE", "PHB", "PXB", "PIX"};
  for (int round = 0; round < 200; ++round) {
    const int gpus = 1 + static_cast<int>(random() % 9), nics = static_cast<int>(random() % 5);
    std::vector<std::array<unsigned, 4>> places(gpus + nics);
    for (auto& place : places) {
      for (unsigned& digit : place) digit = random() % 2;
    }
    const auto name = [&](int i) { return i < gpus ? fmt::format("GPU{}", i) : fmt::format("NIC{}", i - gpus); };
    std::string text;
    for (int i = 0; i < gpus + nics; ++i) text += fmt::format(" {}", name(i));
    for (int a = 0; a < gpus + nics; ++a) {
      text += fmt::format("\n{}", name(a));
      for (int b = 0; b < gpus + nics; ++b) {
        size_t same = 0;
        while (same < 4 && places[a][same] == places[b][same]) ++same;
        text += fmt::format(" {}", a == b ? "X" : kWords[same]);
      }
    }
    if (gpus + nics == 1) text = "GPU0 CPU Affinity\nGPU0 X 0";
    ExpectSameClasses(text + "\n");
    if (HasFailure()) FAIL() << round << "\n" << text;
  }
}

TEST(SmiMatrix, MutatedTextIsReadOrRefused) {
  std::mt19937 random(21);
  const std::string sound(kTwoSwitches);
  int read = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = sound;
    for (unsigned edit = 0; edit <= random() % 3; ++edit) {
      const size_t at = random() % text.size();
      if (random() % 3 == 0) {
        text.erase(at, random() % 8);
      } else if (random() % 2 == 0) {
        text.insert(at, sound.substr(random() % sound.size(), random() % 12));
      } else {
        text[at] = static_cast<char>(random());
      }
    }
    const auto cluster = ParseSmiMatrix(text, "m.txt");
    if (!cluster.ok()) {
      EXPECT_THAT(cluster.message(), HasSubstr("m.txt: "));
      continue;
    }
    ++read;
    const auto again = ParseCluster(CanonicalText(*cluster), "canonical");
    ASSERT_TRUE(again.ok()) << again.message() << "\n" << text;
    ASSERT_EQ(*again, *cluster);
  }
  EXPECT_GT(read, 100);
}

TEST(SmiMatrix, RefusesWithThePlace) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"nothing here",
       "m.txt: no table of nvidia-smi topo -m: no line begins with the names of GPUs, such as GPU0 GPU1"},
      {"GPU0 GPU1\nGPU0 X PXI\nGPU1 PIX X\n",
       "m.txt: line 2, column 8: row GPU0, column GPU1: expected X, NV#, PIX, PXB, PHB, NODE or SYS, got 'PXI'"},
      {"GPU0 GPU1\nGPU0 X PIX\n",
       "m.txt: line 2, column 8: the table ends without row GPU1; expected all 2 GPUs of its first line"},
      {"GPU0 GPU1\nGPU0 PIX PIX\nGPU1 PIX X\n",
       "m.txt: line 2, column 6: row GPU0, column GPU0: 'PIX'; X stands where both are the same, and only there"},
      {"GPU0 GPU1\nGPU0 X PIX\nGPU1 SYS X\n",
       "m.txt: line 3, column 6: row GPU1, column GPU0: SYS, but PIX the other way round; PCIe is the same both ways"},
      {"GPU0 GPU1 GPU2\nGPU0 X PIX SYS\nGPU1 PIX X PIX\nGPU2 SYS PIX X\n",
       "m.txt: line 2, column 12: GPU0 and GPU2: SYS, but by what both have in common with others PIX at most; no tree "
       "of PCIe has both"},
      {"GPU0 NIC0\nGPU0 X NV2\nNIC0 NV2 X\n",
       "m.txt: line 2, column 8: row GPU0, column NIC0: 'NV2'; only GPUs have NVLinks"},
      {"GPU0 GPU1\nGPU0 X NV99\nGPU1 NV99 X\n",
       "m.txt: line 2, column 8: row GPU0, column GPU1: expected X, NV#, PIX, PXB, PHB, NODE or SYS, got 'NV99'"},
  };
  for (const auto& [text, message] : cases) {
    const auto cluster = ParseSmiMatrix(text, "m.txt");
    ASSERT_FALSE(cluster.ok()) << text;
    EXPECT_EQ(cluster.message(), message);
  }
}

// What pdsh, clush, srun -l, kubectl and docker compose write of several hosts, mixed.
TEST(SmiMatrix, LinesThatBeginWithAHost) {
  const Cluster cluster = Read(
      "gpu-b: \tGPU0\tGPU1\tCPU Affinity\n"
      "gpu-a: \t\x1b[4mGPU0\tGPU1\tNIC0\x1b[0m\n"
      "gpu-a: GPU0\t X \tNV4\tPIX\n"
      "gpu-b: GPU0\t X \tPHB\t0-7\n"
      "gpu-c: ssh: connect to host gpu-c port 22: No route to host\n"
      "gpu-a: GPU1\tNV4\t X \tSYS\n"
      "gpu-b: GPU1\tPHB\t X \t0-7\n"
      "gpu-a: NIC0\tPIX\tSYS\t X\n"
      "gpu-a: \n"
      "gpu-a: Legend:\n"
      "gpu-a:   NIC0: mlx5_0\n");
  ASSERT_EQ(cluster.nodes.size(), 2u);
  EXPECT_EQ(cluster.nodes[0].name, "gpu-b");
  EXPECT_EQ(cluster.nodes[1].name, "gpu-a");
  EXPECT_EQ(SmiClass(cluster.nodes[0], {false, 0}, {false, 1}), "PHB");
  EXPECT_EQ(SmiClass(cluster.nodes[1], {false, 0}, {false, 1}), "NV4");
  ASSERT_EQ(cluster.nodes[1].nics.size(), 1u);
  EXPECT_EQ(cluster.nodes[1].nics[0].name, "mlx5_0");
  const std::pair<std::string, std::string> kPrefixes[] = {{"0: ", "0"},
                                                           {"[pod/gpu-0/main] ", "pod/gpu-0/main"},
                                                           {"node1  | ", "node1"},
                                                           {"node1 : ", "node1"},
                                                           {"[1,0]<stdout>: ", "node-0"},
                                                           {"\"node1\" ", "node1"},
                                                           {"::: ", "node-0"},
                                                           {"job 7 node1: ", "node-0"}};
  for (const auto& [prefix, name] : kPrefixes) {
    const Cluster one = Read(prefix + "GPU0 GPU1\n" + prefix + "GPU0 X PIX\n" + prefix + "GPU1 PIX X\n" + prefix +
                             "GPU0 GPU1\n" + prefix + "GPU0 X SYS\n" + prefix + "GPU1 SYS X\n");
    ASSERT_EQ(one.nodes.size(), 2u) << prefix;
    EXPECT_EQ(one.nodes[0].name, name);
    EXPECT_EQ(one.nodes[1].name, "node-1") << prefix;
    EXPECT_EQ(SmiClass(one.nodes[1], {false, 0}, {false, 1}), "SYS");
  }
}

std::string Refused(std::string_view text) {
  const Result<Cluster> cluster = ParseSmiMatrix(text, "m.txt");
  return cluster ? "accepted" : cluster.message();
}

TEST(SmiMatrix, PrefixesThatAreNone) {
  EXPECT_EQ(Refused("n: GPU0 GPU1\nn: GPU0 X PIX\nn: GPU1 PXI X\n"),
            "m.txt: line 3, column 9: row GPU1, column GPU0: expected X, NV#, PIX, PXB, PHB, NODE or SYS, got 'PXI'");
  EXPECT_EQ(Refused("n: GPU0 GPU1\nn: GPU0 X PIX\n"),
            "m.txt: line 2, column 11: the table ends without row GPU1; expected all 2 GPUs of its first line");
  EXPECT_EQ(Refused("10:00:01 GPU0 GPU1\n10:00:02 GPU0 X PIX\n10:00:03 GPU1 PIX X\n"),
            "m.txt: line 1, column 1: '10:00:01' stands before a table's names, and '10:00:02' (line 2) before a row; "
            "expected nothing, or the same before all lines of a host, such as \"node1: \": cut the words off that "
            "differ");
  EXPECT_FALSE(HasSmiMatrix("the GPU0 and GPU1 of node1: none"));
  EXPECT_TRUE(HasSmiMatrix("10:00:01 GPU0 GPU1\n10:00:02 GPU0 X PIX\n"));
  // Of several hosts' tables there may be as many as nodes.
  std::string many;
  for (int n = 0; n < 2000; ++n) many += fmt::format("n{}: GPU0 CPU\nn{}: GPU0 X\n", n, n);
  EXPECT_EQ(Refused(many).substr(0, 30), "m.txt: more than 1024 hosts' t");
}

}  // namespace
}  // namespace mrs::cluster
