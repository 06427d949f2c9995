#include "planner/export/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/ring_config.h"
#include "planner/export/quoting.h"

namespace mrs::deploy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Deployment Two() {
  Deployment out;
  out.model = "mini";
  out.plan_sha256 = "0123456789abcdef0123456789abcdef";
  out.nodes = {{"a", "10.0.0.1", {0, 1}, {0, 1}, 1000}, {"b", "10.0.0.2", {2, 3}, {4, 5}, 2000}};
  out.rank_count = 4;
  out.tp = 4;
  out.max_len = 2048;
  out.max_seqs = 16;
  out.dtype = "bf16";
  out.chain = "pair2";
  return out;
}

Deployment WithoutAddresses() {
  Deployment out = Two();
  for (Node& node : out.nodes) node.address = "";
  return out;
}

ExportOptions Options() {
  ExportOptions options;
  options.plan_path = "/srv/x.mrsplan";
  options.model_dir = "/srv/mini";
  return options;
}

std::string FileOf(const Result<Exported>& exported, std::string_view name) {
  EXPECT_TRUE(exported.ok()) << exported.message();
  if (!exported.ok()) return "";
  for (const ExportFile& file : exported->files) {
    if (file.name == name) return file.text;
  }
  ADD_FAILURE() << "no " << name;
  return "";
}

TEST(Quoting, GivesTheTextBack) {
  EXPECT_EQ(ShellWord("/srv/x-1.mrsplan"), "/srv/x-1.mrsplan");
  EXPECT_EQ(ShellWord("a b"), "'a b'");
  EXPECT_EQ(ShellWord("it's $HOME `x`"), "'it'\\''s $HOME `x`'");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(YamlText("a: #\"\\b\""), "\"a: #\\\"\\\\b\\\"\"");
  const std::string words[] = {"a", "$(X)", "100$"};
  EXPECT_EQ(KubernetesWords(words), "[\"a\", \"$$(X)\", \"100$$\"]");
  EXPECT_EQ(SystemdWord("100% of $x"), "\"100%% of $$x\"");
  EXPECT_EQ(SystemdWord("a\"b\\"), "\"a\\\"b\\\\\"");
  EXPECT_EQ(SystemdWord(";"), "\";\"");
  EXPECT_EQ(SystemdText("100%n"), "100%%n");
  EXPECT_EQ(Comment("a\nb\\"), "a?b");
}

TEST(Quoting, RefusesWhatIsNotSeen) {
  EXPECT_EQ(CheckText("--model", "/a\nb").message(),
            "--model: \"/a\\x0ab\": byte 2 is \\x0a, a character that is not seen; rename it");
  EXPECT_EQ(CheckText("--model", "/a\xff").message(),
            "--model: \"/a\xff\": byte 2 is \\xff, which is no UTF-8; rename it");
  EXPECT_EQ(CheckText("--model", std::string("/\0", 2)).message(),
            "--model: \"/\\x00\": byte 1 is \\x00, a character that is not seen; rename it");
  EXPECT_EQ(CheckText("--model", "").message(), "--model: is empty");
  EXPECT_EQ(CheckPath("--model", "srv/x").message(),
            "--model srv/x: expected a path from the root folder on, as it is on every node");
  EXPECT_TRUE(CheckPath("--model", "/srv/ü \"'%$`\\").ok());
}

TEST(Quoting, LabelsAreOfRfc1123) {
  EXPECT_EQ(LabelLike("Qwen/Qwen3-8B"), "qwen-qwen3-8b");
  EXPECT_EQ(LabelLike("3B_model."), "mrs-3b-model");
  EXPECT_EQ(LabelLike("\n%$"), "mrs");
  EXPECT_EQ(LabelLike(std::string(100, 'x')).size(), kMaxLabel);
  for (const char* text : {"", "-", "--a--", "A", "9", "é", "a..b", "mini"})
    EXPECT_TRUE(IsLabel(LabelLike(text))) << text;
  for (const char* text : {"", "A", "a-", "-a", "1a", "a b", "a.b"}) EXPECT_FALSE(IsLabel(text)) << text;
}

TEST(Export, SystemdHasAUnitForEachNode) {
  const Result<Exported> exported = Export(Two(), Target::kSystemd, Options());
  const std::string unit = FileOf(exported, "mini-1.service");
  EXPECT_THAT(unit, HasSubstr("ExecStart=/usr/local/bin/mrs-exec --plan /srv/x.mrsplan --model /srv/mini --node 1 "
                              "--cluster-secret-file %d/cluster-secret --port 1234\n"));
  EXPECT_THAT(unit, HasSubstr("LoadCredential=cluster-secret:/etc/mrs/cluster-secret\n"));
  EXPECT_THAT(unit, HasSubstr("--port 1234 --rehearse\n"));
  EXPECT_EQ(exported->files.size(), 2u);
  Deployment one = Two();
  one.nodes.resize(1);
  ExportOptions options = Options();
  options.rehearse = false;
  options.model_dir = "/srv/100% $HOME \"x\"";
  const std::string alone = FileOf(Export(one, Target::kSystemd, options), "mini.service");
  EXPECT_THAT(alone, HasSubstr("--model \"/srv/100%% $$HOME \\\"x\\\"\" --port 1234\n"));
  EXPECT_THAT(alone, Not(HasSubstr("secret")));
  EXPECT_THAT(alone, Not(HasSubstr("ExecStartPre")));
}

TEST(Export, SlurmStartsHostsByNameWhereThePlanHasAddresses) {
  const std::string by_name = FileOf(Export(Two(), Target::kSlurm, Options()), "mini.sbatch");
  EXPECT_THAT(by_name, HasSubstr("#SBATCH --nodelist=a,b\n"));
  EXPECT_THAT(by_name, HasSubstr("  b) node=1 ;;\n"));
  const std::string by_order = FileOf(Export(WithoutAddresses(), Target::kSlurm, Options()), "mini.sbatch");
  EXPECT_THAT(by_order, Not(HasSubstr("nodelist")));
  EXPECT_THAT(by_order, HasSubstr("exec srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --kill-on-bad-exit=1 "
                                  "--cpus-per-task=2 \"${command[@]}\"\n"));
}

TEST(Export, LwsHasALeaderThatServes) {
  ExportOptions options = Options();
  options.image = "registry.example.com/mrs:1";
  const std::string text = FileOf(Export(WithoutAddresses(), Target::kLws, options), "mini.yaml");
  EXPECT_THAT(text, HasSubstr("    size: 2\n"));
  EXPECT_THAT(text, HasSubstr("command: [\"mrs-exec\", \"--plan\", \"/srv/x.mrsplan\", \"--model\", \"/srv/mini\", "
                              "\"--cluster-secret-file\", "
                              "\"/etc/mrs/secret/cluster-secret\", \"--port\", \"1234\"]\n"));
  EXPECT_THAT(text, HasSubstr("            ports:\n"
                              "              - {name: http, containerPort: 1234}\n"
                              "              - {name: cluster, containerPort: 29500}\n"
                              "              - {name: rank-0, containerPort: 29501}\n"
                              "              - {name: rank-1, containerPort: 29502}\n"
                              "            readinessProbe:"));
  EXPECT_THAT(text, HasSubstr("            ports:\n"
                              "              - {name: rank-2, containerPort: 29503}\n"
                              "              - {name: rank-3, containerPort: 29504}\n"
                              "        volumes:"));
  EXPECT_EQ(text.find("readinessProbe"), text.rfind("readinessProbe"));
  EXPECT_LT(text.find("readinessProbe"), text.find("workerTemplate"));
}

TEST(Export, RingsAreClosed) {
  for (const char* head : {"10.0.0.1", "fd00::1", "gpu-a.example"}) {
    Deployment two = Two();
    two.nodes[0].address = head;
    const Result<Exported> exported = Export(two, Target::kMistralrs, Options());
    for (uint32_t rank = 0; rank < 4; ++rank) {
      const std::string name = fmt::format("ring_{}.json", rank);
      const Result<RingRankConfig> ring = ParseRingConfig(FileOf(exported, name), name);
      ASSERT_TRUE(ring.ok()) << ring.message();
      EXPECT_EQ(ring->rank, rank);
      EXPECT_EQ(ring->port, 9001 + rank);
      EXPECT_EQ(ring->right_port, 9001 + (rank + 1) % 4);
      const std::string bracketed = head == std::string("fd00::1") ? "[fd00::1]" : head;
      EXPECT_EQ(ring->master_ip, bracketed);
      EXPECT_EQ(ring->right_ip, rank == 0 || rank == 3 ? bracketed : "10.0.0.2");
    }
  }
}

TEST(Export, MistralrsHasTheVariablesOfGpuNodes) {
  Deployment two = Two();
  two.cuda = true;
  const Result<Exported> exported = Export(two, Target::kMistralrs, Options());
  const std::string head = FileOf(exported, "nccl_node_0.sh"), worker = FileOf(exported, "nccl_node_1.sh");
  EXPECT_THAT(head, HasSubstr("export CUDA_VISIBLE_DEVICES=0,1\nexport MISTRALRS_MN_LOCAL_WORLD_SIZE=2\nexport "
                              "MISTRALRS_MN_GLOBAL_WORLD_SIZE=4\nexport MISTRALRS_MN_HEAD_NUM_WORKERS=1\nexport "
                              "MISTRALRS_MN_HEAD_PORT=9000\nexec mistralrs serve -m /srv/mini -p 1234 --max-seqs 16 "
                              "--dtype bf16\n"));
  EXPECT_THAT(worker, HasSubstr("export MISTRALRS_MN_WORKER_SERVER_ADDR=10.0.0.1:9000\nexport "
                                "MISTRALRS_MN_WORKER_ID=0\n"));
}

TEST(Export, EveryRefusalHasItsMessage) {
  struct Case {
    Target target;
    void (*change)(Deployment*, ExportOptions*);
    std::string message;
  };
  const std::vector<Case> cases = {
      {Target::kLws, [](Deployment*, ExportOptions*) {},
       "export --for lws: which image has mrs-exec? Say it with --image"},
      {Target::kLws, [](Deployment*, ExportOptions* o) { o->image = "i"; },
       "the plan's cluster puts node a at 10.0.0.1, but LeaderWorkerSet gives each pod an address of its own; leave "
       "addresses out of the cluster file, and plan anew"},
      {Target::kLws,
       [](Deployment* d, ExportOptions* o) {
         o->image = "i";
         d->nodes[0].address = d->nodes[1].address = "";
         d->nodes.push_back({"c", "", {4}, {0}, 1});
       },
       "node b has 2 ranks and node c 1, but all workers of a LeaderWorkerSet are alike; plan for equal nodes, or "
       "export "
       "--for slurm or systemd"},
      {Target::kLws,
       [](Deployment*, ExportOptions* o) {
         o->image = "i";
         o->model_dir = "/a:b";
       },
       "--model /a:b: has a ':', which a path that Kubernetes mounts may not have; rename it"},
      {Target::kLws,
       [](Deployment*, ExportOptions* o) {
         o->image = "i";
         o->plan_path = "/x.mrsplan";
       },
       "--plan-path /x.mrsplan: Kubernetes cannot mount the root folder; say where the plan is in a folder of its own"},
      {Target::kSlurm, [](Deployment*, ExportOptions* o) { o->image = "i"; }, "export: --image is for --for lws"},
      {Target::kSlurm, [](Deployment* d, ExportOptions*) { d->nodes[1].name = "$(reboot)"; },
       "node \"$(reboot)\": Slurm's nodes have names of letters, digits, '-', '.' and '_'; call the plan's nodes as "
       "slurm.conf has them"},
      {Target::kSlurm, [](Deployment* d, ExportOptions*) { d->nodes[1].address = ""; },
       "the plan's cluster gives some of its nodes an address and not all; give all of them one, or none"},
      {Target::kSlurm, [](Deployment*, ExportOptions* o) { o->name = "A b"; },
       "--name \"A b\": expected 1 to 40 lower case letters, digits and hyphens that start with a letter and end with "
       "no "
       "hyphen (RFC 1123), such as a-b"},
      {Target::kSlurm, [](Deployment*, ExportOptions* o) { o->plan_path = "/a\nb"; },
       "--plan-path: \"/a\\x0ab\": byte 2 is \\x0a, a character that is not seen; rename it"},
      {Target::kSlurm, [](Deployment*, ExportOptions* o) { o->program = "bin/x"; },
       "--program bin/x: expected a path from the root folder on, as it is on every node"},
      {Target::kSlurm, [](Deployment*, ExportOptions* o) { o->port = 29500; },
       "--port 29500 is --cluster-port, too; the head listens on both, so they must differ"},
      {Target::kSlurm, [](Deployment*, ExportOptions* o) { o->port = 29502; },
       "--port 29502 is rank 1's, too: rank r listens on --cluster-port + 1 + r, 29501 + r; move one of the two"},
      {Target::kSystemd, [](Deployment*, ExportOptions* o) { o->cluster_port = 65532; },
       "--cluster-port 65532: rank 3 would listen on 65536, and ports end at 65535; take one of at most 65531"},
      {Target::kSystemd, [](Deployment*, ExportOptions* o) { o->program = "mrs-exec"; },
       "--program mrs-exec: expected a path from the root folder on, of letters, digits and /._+-, as systemd takes no "
       "other"},
      {Target::kSystemd, [](Deployment*, ExportOptions* o) { o->program = "/a b"; },
       "--program /a b: expected a path from the root folder on, of letters, digits and /._+-, as systemd takes no "
       "other"},
      {Target::kMistralrs, [](Deployment*, ExportOptions* o) { o->model_dir = ""; },
       "export --for mistralrs: which folder has the model on every node? Say it with --model"},
      {Target::kMistralrs, [](Deployment* d, ExportOptions*) { d->rank_count = 3; },
       "a ring of mistral.rs has 2, 4, 8, ... ranks, and the plan 3; plan for a power of two, or serve it with "
       "mrs-exec "
       "alone"},
      {Target::kMistralrs, [](Deployment*, ExportOptions* o) { o->ring_port = 65533; },
       "--ring-port 65533: rank 3 would listen on 65536, and ports end at 65535; take one of at most 65532"},
      {Target::kMistralrs, [](Deployment*, ExportOptions* o) { o->ring_port = 8999; },
       "--cluster-port 9000 is the ring's port of rank 1, too: the ranks listen on 8999 to 9002; move one of the two"},
      {Target::kMistralrs, [](Deployment* d, ExportOptions*) { d->nodes[1].address = ""; },
       "node b has no address in the plan's cluster, and its neighbours need one; give it in the cluster file, and "
       "plan "
       "anew"},
  };
  for (const Case& c : cases) {
    Deployment deployment = Two();
    ExportOptions options = Options();
    c.change(&deployment, &options);
    const Result<Exported> exported = Export(deployment, c.target, options);
    ASSERT_FALSE(exported.ok()) << c.message;
    EXPECT_EQ(exported.message(), c.message);
  }
}

}  // namespace
}  // namespace mrs::deploy
