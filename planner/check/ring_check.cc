#include "planner/check/ring_check.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "formats/json.h"
#include "planner/check/ring_hosts.h"

namespace mrs::check {
namespace {

std::string_view IdOf(RingRule rule) {
  switch (rule) {
    case RingRule::kSyntax:
      return "ring.syntax";
    case RingRule::kField:
      return "ring.field";
    case RingRule::kAddress:
      return "ring.address";
    case RingRule::kUnknownKey:
      return "ring.unknown-key";
    case RingRule::kWorldSize:
      return "ring.world-size";
    case RingRule::kRankRange:
      return "ring.rank-range";
    case RingRule::kMasterIp:
      return "ring.master-ip";
    case RingRule::kPortClash:
      return "ring.port-clash";
    case RingRule::kOwnNeighbour:
      return "ring.own-neighbour";
  }
  MRS_CHECK(false);
}

std::string Quoted(const std::string& text) { return DescribeJson(Json(text)); }

// The files of one ring, and what is found between them.
class RingChecker {
 public:
  explicit RingChecker(std::span<const RingFile> files) {
    for (const RingFile& file : files) {
      if (file.reading.whole()) members_.push_back(&file);
    }
    std::stable_sort(members_.begin(), members_.end(), [](const RingFile* a, const RingFile* b) {
      return a->reading.config.rank < b->reading.config.rank;
    });
    all_whole_ = members_.size() == files.size();
  }

  std::vector<Diagnostic> Check(bool whole) && {
    if (members_.empty()) return {};
    DecideWorld();
    CheckWorlds();
    CheckRanks(whole);
    CheckMasterPorts();
    std::erase_if(by_rank_, [&](const auto& entry) { return entry.first >= world_; });  // told, each by its own file
    CheckNeighbours();
    CheckHosts();
    CheckPorts();
    NotePartialSums();
    return std::move(found_);
  }

 private:
  static const RingRankConfig& ConfigOf(const RingFile& file) { return file.reading.config; }

  // "rank 1 (ring_1.json)".
  static std::string Who(const RingFile& file) { return fmt::format("rank {} ({})", ConfigOf(file).rank, file.path); }

  static Place At(const RingFile& file, std::string_view key) {
    const std::optional<RingField> field = FindRingField(file.text, key);
    return field ? Place{file.path, field->begin, field->end} : Place{file.path, {1, 1}, {1, 1}};
  }

  Diagnostic& Add(std::string_view id, const RingFile& file, std::string_view key, std::string message) {
    return found_.emplace_back(Finding(id, At(file, key), std::move(message)));
  }

  static void AddFix(Diagnostic& to, std::string replacement, std::string message) {
    to.fixes.push_back({to.place, std::move(replacement), std::move(message)});
  }

  const RingFile* OfRank(uint32_t rank) const {
    const auto found = by_rank_.find(rank);
    return found == by_rank_.end() ? nullptr : found->second;
  }

  // What most files say; of several such sizes the one of the lowest rank.
  void DecideWorld() {
    std::map<uint32_t, size_t> votes;
    for (const RingFile* file : members_) ++votes[ConfigOf(*file).world_size];
    size_t most = 0;
    for (const RingFile* file : members_) {
      if (const size_t count = votes[ConfigOf(*file).world_size]; count > most) {
        most = count;
        world_ = ConfigOf(*file).world_size;
        witness_ = file;
      }
    }
    for (const RingFile* file : members_) by_rank_.emplace(ConfigOf(*file).rank, file);
  }

  void CheckWorlds() {
    for (const RingFile* file : members_) {
      if (ConfigOf(*file).world_size == world_) continue;
      Diagnostic& found =
          Add("ring.world-mismatch", *file, "world_size",
              fmt::format("'world_size' {}, but {} says {}", ConfigOf(*file).world_size, Who(*witness_), world_));
      found.notes.push_back({At(*witness_, "world_size"), "this one"});
      AddFix(found, fmt::format("{}", world_), fmt::format("write {}", world_));
    }
  }

  void CheckRanks(bool whole) {
    std::vector<uint32_t> missing;
    size_t missing_count = 0;
    for (uint32_t rank = 0; rank < world_; ++rank) {
      if (OfRank(rank) != nullptr) continue;
      if (++missing_count <= 8) missing.push_back(rank);
    }
    for (const RingFile* file : members_) {
      const RingFile& first = *OfRank(ConfigOf(*file).rank);
      if (&first == file) continue;
      Diagnostic& found = Add("ring.rank-twice", *file, "rank",
                              fmt::format("'rank' {} is that of {}, too", ConfigOf(*file).rank, first.path));
      found.notes.push_back({At(first, "rank"), "there"});
      if (missing_count == 1) {
        AddFix(found, fmt::format("{}", missing[0]), fmt::format("write {}, which no file has", missing[0]));
      }
    }
    if (missing_count == 0 || !all_whole_) return;
    const RingFile& at = *members_.front();
    const std::string which = fmt::format("rank{} {}{}", missing_count == 1 ? "" : "s", fmt::join(missing, ", "),
                                          missing_count > missing.size() ? ", ..." : "");
    if (!whole) {
      Add("ring.alone", at, "world_size",
          fmt::format("checked in itself only: {} of {} {} not given; name all files of the ring, or their folder",
                      which, world_, missing_count == 1 ? "is" : "are"));
      return;
    }
    Add("ring.rank-missing", at, "world_size",
        fmt::format("no file has {} of 'world_size' {}{}", which, world_,
                    missing[0] == 0 ? "; rank 0 is the master, which all others need" : ""));
  }

  // All ask the same port: rank 0's, or where that is not there, the first file's.
  void CheckMasterPorts() {
    const RingFile& first = *members_.front();
    const uint16_t port = ConfigOf(first).master_port;
    for (const RingFile* file : members_) {
      if (ConfigOf(*file).master_port == port) continue;
      Diagnostic& found = Add("ring.master-port", *file, "master_port",
                              fmt::format("'master_port' {}, but {} {} {}", ConfigOf(*file).master_port, Who(first),
                                          ConfigOf(first).rank == 0 ? "listens on" : "says", port));
      found.notes.push_back({At(first, "master_port"), "this one"});
      AddFix(found, fmt::format("{}", port), fmt::format("write {}", port));
    }
  }

  void CheckNeighbours() {
    for (const auto& [rank, file] : by_rank_) {
      const RingFile* right = OfRank((rank + 1) % world_);
      if (right == nullptr || right == file) continue;
      const RingRankConfig& config = ConfigOf(*file);
      const RingRankConfig& of_right = ConfigOf(*right);
      if (config.right_port == of_right.port) continue;
      // A rank that is its own neighbour was told so.
      if (IsThisHost(config.right_ip) && config.right_port == config.port) continue;
      std::string instead;
      for (const auto& [other, of_other] : by_rank_) {
        if (other != rank && instead.empty() && ConfigOf(*of_other).port == config.right_port) {
          instead = fmt::format("; rank {} has that port", other);
        }
      }
      Diagnostic& found = Add("ring.not-closed", *file, "right_port",
                              fmt::format("'right_port' {}: the right neighbour of rank {}, {}, listens on {}{}",
                                          config.right_port, rank, Who(*right), of_right.port, instead));
      found.notes.push_back({At(*right, "port"), fmt::format("rank {} listens here", of_right.rank)});
      AddFix(found, fmt::format("{}", of_right.port), fmt::format("write {}", of_right.port));
    }
  }

  // Places every rank on a host, and finds addresses that cannot be.
  void CheckHosts() {
    std::vector<const RingFile*> ranks;  // by index in hosts_
    for (const auto& [rank, file] : by_rank_) {
      index_of_[rank] = ranks.size();
      ranks.push_back(file);
    }
    hosts_ = RingHosts(ranks.size());
    for (const RingFile* file : ranks) {
      const RingRankConfig& config = ConfigOf(*file);
      const auto right = index_of_.find((config.rank + 1) % world_);
      if (IsThisHost(config.right_ip) || right == index_of_.end() || right->first == 0) continue;
      hosts_.Put(right->second, *config.right_ip);
    }
    if (index_of_.contains(0)) CheckMasterAddress(ranks);
    for (const RingFile* file : ranks) {
      const RingRankConfig& config = ConfigOf(*file);
      const auto right = index_of_.find((config.rank + 1) % world_);
      if (right == index_of_.end() || !IsThisHost(config.right_ip)) continue;
      Reach(*file, "right_ip", config.right_ip, right->second, "the right neighbour, ");
    }
    for (const RingFile* file : ranks) {
      const RingRankConfig& config = ConfigOf(*file);
      if (config.rank == 0 || !config.master_ip || !IsThisHost(config.master_ip) || !index_of_.contains(0)) continue;
      Reach(*file, "master_ip", config.master_ip, index_of_[0], "the master, ");
    }
  }

  // Everybody's master_ip, and what the last rank has on its right, are rank 0's address.
  void CheckMasterAddress(const std::vector<const RingFile*>& ranks) {
    struct Claim {
      const RingFile* file;
      std::string_view key;
      std::string address;
    };
    std::vector<Claim> claims;
    for (const RingFile* file : ranks) {
      const RingRankConfig& config = ConfigOf(*file);
      if (!IsThisHost(config.master_ip)) claims.push_back({file, "master_ip", *config.master_ip});
    }
    for (const RingFile* file : ranks) {
      const RingRankConfig& config = ConfigOf(*file);
      const bool last = config.rank != 0 && config.rank == world_ - 1;
      if (last && !IsThisHost(config.right_ip)) claims.push_back({file, "right_ip", *config.right_ip});
    }
    for (const Claim& claim : claims) {
      const Claim& first = claims.front();
      if (!SurelyDiffer(claim.address, first.address)) {
        hosts_.Put(index_of_[0], claim.address);
        continue;
      }
      Diagnostic& found = Add("ring.address-mismatch", *claim.file, claim.key,
                              fmt::format("'{}' {} is where rank 0 is to be, but '{}' of {} is {}", claim.key,
                                          Quoted(claim.address), first.key, Who(*first.file), Quoted(first.address)));
      found.notes.push_back({At(*first.file, first.key), "this one"});
      AddFix(found, Quoted(first.address), fmt::format("write {}", Quoted(first.address)));
    }
  }

  // `address` of the file is its own host: so is the rank that it is to reach, or it is wrong.
  void Reach(const RingFile& file, std::string_view key, const std::optional<std::string>& address, size_t target,
             std::string_view what) {
    const size_t self = index_of_[ConfigOf(file).rank];
    if (hosts_.Join(self, target)) return;
    uint32_t rank = 0;
    for (const auto& [number, index] : index_of_) {
      if (index == target) rank = number;
    }
    const std::string there = Quoted(hosts_.AddressOf(target));
    Diagnostic& found = Add("ring.wrong-host", file, address ? key : "right_port",
                            fmt::format("'{}'{} is this host, at {}; {}rank {}, is at {}", key,
                                        address ? fmt::format(" {}", Quoted(*address)) : ", left out,",
                                        Quoted(hosts_.AddressOf(self)), what, rank, there));
    if (address) {
      AddFix(found, there, fmt::format("write {}", there));
    } else {
      const Place past = {found.place.file, found.place.end, found.place.end};
      found.fixes.push_back({past, fmt::format(", \"{}\": {}", key, there), fmt::format("add {}", there)});
    }
  }

  // Listeners of one host: each rank's port, and rank 0's master_port.
  void CheckPorts() {
    struct Listener {
      const RingFile* file;
      std::string_view key;
    };
    std::map<std::pair<size_t, uint16_t>, Listener> listeners;  // by host and port
    if (const RingFile* master = OfRank(0)) {
      listeners[{hosts_.HostOf(index_of_[0]), ConfigOf(*master).master_port}] = {master, "master_port"};
    }
    for (const auto& [rank, file] : by_rank_) {
      const RingRankConfig& config = ConfigOf(*file);
      const auto [found, first] = listeners.insert({{hosts_.HostOf(index_of_[rank]), config.port}, {file, "port"}});
      const Listener& there = found->second;
      if (first || there.file == file) continue;  // of rank 0 alone its own file was told
      Diagnostic& clash = Add("ring.port-clash", *file, "port",
                              fmt::format("'port' {}: {} listens there, too{}, and both are on one host", config.port,
                                          Who(*there.file), there.key == "port" ? "" : " (as the master)"));
      clash.notes.push_back({At(*there.file, there.key), "there"});
    }
  }

  // ring_ops::SumAllReduce::run sends its part to the right, once, and adds what came from the left.
  void NotePartialSums() {
    if (world_ <= 2) return;
    Add("ring.partial-sums", *members_.front(), "world_size",
        fmt::format("'world_size' {}: mistral.rs (as of 9e922623f24b) adds the left neighbour's part alone in an "
                    "all-reduce, so sums over more than 2 ranks lack parts; use 2 ranks, or NCCL",
                    world_));
  }

  std::vector<const RingFile*> members_;  // by rank
  bool all_whole_ = false;
  uint32_t world_ = 0;
  const RingFile* witness_ = nullptr;            // who says so
  std::map<uint32_t, const RingFile*> by_rank_;  // the first of each rank
  std::map<uint32_t, size_t> index_of_;          // of a rank in hosts_
  RingHosts hosts_{0};
  std::vector<Diagnostic> found_;
};

}  // namespace

std::vector<Diagnostic> CheckRingFile(const RingFile& file) {
  std::vector<Diagnostic> found;
  for (const RingFault& fault : file.reading.faults) {
    Diagnostic& diagnostic =
        found.emplace_back(Finding(IdOf(fault.rule), {file.path, fault.begin, fault.end}, fault.message));
    if (fault.replacement) {
      diagnostic.fixes.push_back({diagnostic.place, *fault.replacement, fmt::format("write {}", *fault.replacement)});
    }
  }
  return found;
}

std::vector<Diagnostic> CheckRing(std::span<const RingFile> files, bool whole) {
  return RingChecker(files).Check(whole);
}

}  // namespace mrs::check
