// The head's side: one loop, in which nothing waits for anybody in particular.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "plans/printable.h"
#include "runtime/world/node_addresses.h"
#include "runtime/world/node_facts.h"
#include "runtime/world/rendezvous.h"
#include "runtime/world/ring_facts.h"
#include "runtime/world/strangers.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

constexpr milliseconds kSendWait{200};        // for a message that fits any socket buffer
constexpr milliseconds kGuestPatience{5000};  // from its proof to its first message, and for a seat to be free
constexpr milliseconds kLookupWait{2000};     // for the name of a guest's node; then it is taken at its word
constexpr milliseconds kSayEvery{5000};
constexpr size_t kMaxGuests = 4096;
// A node with another secret tries again. One that fails so often at its own address, and does not bring the right one
// for so long after, is that node, badly set up, or what an earlier run left there: nobody can tell from here. A single
// failure is anybody's, and ends nothing.
constexpr int kWrongProofs = 2;
constexpr milliseconds kSecondThoughts{1000};
constexpr size_t kMaxWrongPlaces = 8;  // of one node that are kept
constexpr int kMaxWrongSaid = 8;

std::string FileOf(const std::optional<wire::RingFacts>& ring) {
  return ring.has_value() ? fmt::format(" ({})", Printable(ring->file)) : "";
}

// A rehearsal of less than all needs less, and says so.
bool TakesItsMemory(RehearsalScope scope) { return scope == RehearsalScope::kNone || scope == RehearsalScope::kAll; }

class Head {
 public:
  Head(TcpListener listener, const Party& party)
      : listener_(std::move(listener)),
        party_(party),
        strangers_(listener_.fd(), party.secret,
                   [](const Hello& hello) {
                     return (hello.magic == wire::kFirstConnection || hello.magic == wire::kSecondConnection) &&
                            hello.rank < wire::kMaxWorld && hello.size == 0 && hello.integrity <= 1 &&
                            hello.streams == 0 && hello.stream == 0;
                   }),
        members_(party.nodes.size()),
        addresses_(party.nodes),
        ring_(party.nodes.size()),
        wrong_(party.nodes.size()),
        verdict_(party.refused) {
    if (party.facts.ring.has_value()) HearFile(0, *party.facts.ring, OwnAddress(listener_.fd()));
  }

  Result<std::vector<NodeLink>> Hold() {
    const Time started = Clock::now();
    const Time end = started + party_.start_timeout;
    Time next_beat = started;
    Time next_say = started + kSayEvery;
    for (;;) {
      Wait(std::min(next_beat, end));
      const Time now = Clock::now();
      if (Stopped()) return End(Error{ErrorKind::kCancelled, "shutting down"}, party_.why_stopped());
      const Hello answer{
          .version = wire::kVersion, .rank = 0, .size = 0, .integrity = static_cast<uint16_t>(party_.integrity)};
      for (Guest& guest : strangers_.Advance(now, answer)) {
        if (guests_.size() < kMaxGuests) guests_.push_back(std::move(guest));
      }
      addresses_.Advance(now, [this](size_t node) { return node > 0 && !members_[node].control; });
      HearMembers(now);
      HearGuests(now);
      for (const WrongProof& wrong : strangers_.TakeWrongProofs()) HearWrongProof(wrong, now);
      JudgeWrongProofs(now);
      SayNoRoom();
      if (verdict_.has_value()) {
        if (!verdict_end_.has_value()) verdict_end_ = now + kLinger;
        TellVerdict();
        if (now >= *verdict_end_ || (AllTold() && NobodyLeft())) return Refuse("{}", *verdict_);
        next_beat = std::min(now + kNodeBeatEvery, *verdict_end_);
        continue;
      }
      if (Complete()) return Stand();
      if (now >= end) {
        verdict_ = fmt::format(
            "{} did not come within {} s (--start-timeout){}{}; start mrs-exec there with the same plan, and see that "
            "it reaches {} port {}{}",
            Missing(), std::chrono::duration<double>(party_.start_timeout).count(), Unproven(), Unknown(),
            OwnAddress(listener_.fd()), listener_.port(), OnlyHere());
        TellVerdict();
        return Unavailable("{}", *verdict_);
      }
      if (now >= next_beat) {
        next_beat = now + kNodeBeatEvery;
        const std::string waiting = wire::Encode(wire::Waiting{Missing()});
        for (Member& member : members_) Tell(member, waiting);
      }
      if (now >= next_say) {
        next_say = now + kSayEvery;
        party_.say(fmt::format("waiting for   {}, {:.0f} s{}{}", Missing(),
                               std::chrono::duration<double>(now - started).count(), Unproven(), Unknown()));
      }
    }
  }

 private:
  struct Member {
    std::unique_ptr<Channel> control, work;
    std::string from;
    wire::Token token = {};
    Time heard;
    bool told = false;  // the verdict
  };

  // Whence somebody came who did not know the secret.
  struct WrongPlace {
    std::string from;
    Time since;
    int count = 1;
  };

  void Wait(Time until) {
    std::vector<pollfd> polls;
    strangers_.AddTo(&polls);
    for (const Guest& guest : guests_) polls.push_back({.fd = guest.channel->fd(), .events = POLLIN, .revents = 0});
    for (const Member& member : members_) {
      if (member.control) polls.push_back({.fd = member.control->fd(), .events = POLLIN, .revents = 0});
    }
    if (party_.stop_fd >= 0) polls.push_back({.fd = party_.stop_fd, .events = POLLIN, .revents = 0});
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    poll(polls.data(), polls.size(), static_cast<int>(std::clamp<int64_t>(left, 0, 100)));
  }

  bool Stopped() const {
    pollfd stop{.fd = party_.stop_fd, .events = POLLIN, .revents = 0};
    return party_.stop_fd >= 0 && poll(&stop, 1, 0) == 1;
  }

  Error End(Error error, const std::string& why) {
    verdict_ = why;
    TellVerdict();
    return error;
  }

  void Tell(Member& member, const std::string& message) {
    if (member.control && !member.control->Send(message, Clock::now() + kSendWait).ok()) Lose(member, "sending");
  }

  void TellVerdict() {
    const std::string message = wire::Encode(wire::Verdict{*verdict_});
    for (Member& member : members_) {
      if (!member.control || member.told) continue;
      member.told = true;
      Tell(member, message);
    }
  }

  bool AllTold() const {
    return std::all_of(members_.begin() + 1, members_.end(), [](const Member& member) { return member.told; });
  }

  // Those who were told close their ends: what was said has come.
  bool NobodyLeft() const {
    return std::ranges::none_of(members_, [](const Member& member) { return member.control != nullptr; });
  }

  bool Complete() const {
    return std::all_of(members_.begin() + 1, members_.end(),
                       [](const Member& member) { return member.control != nullptr && member.work != nullptr; });
  }

  std::string Missing() const {
    std::vector<std::string> missing;
    for (size_t node = 1; node < members_.size(); ++node) {
      if (!members_[node].control || !members_[node].work) missing.push_back(NodeText(party_.nodes, node));
    }
    constexpr size_t kNamed = 8;
    const size_t more = missing.size() - std::min(missing.size(), kNamed);
    if (more > 0) missing.resize(kNamed);
    return fmt::format("{}{}", fmt::join(missing, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
  }

  bool of_ring() const { return party_.nodes.front().of_ring; }
  const char* OwnSeatHint() const {
    return of_ring() ? "give each process the RING_CONFIG file of its own rank" : "give each node its own --node";
  }

  std::string Unproven() const {
    if (strangers_.dropped_count() == 0) return "";
    return fmt::format(" ({} connection{} came from strangers)", strangers_.dropped_count(),
                       strangers_.dropped_count() == 1 ? "" : "s");
  }

  // The first name that nobody knows here, of a node that is missing.
  std::string Unknown() const {
    for (size_t node = 1; node < members_.size(); ++node) {
      if (!members_[node].control && !addresses_.WhyUnknown(node).empty()) {
        return fmt::format("; {}", addresses_.WhyUnknown(node));
      }
    }
    return "";
  }

  // Rank 0 of a ring whose file says no address of it is met at the loopback.
  const char* OnlyHere() const {
    const std::string own = OwnAddress(listener_.fd());
    if (!of_ring() || (!own.starts_with("127.") && own != "::1")) return "";
    return ", which this host alone does: for ranks of others, say another address of rank 0 as 'master_ip', or start "
           "it with --interface NAME";
  }

  void SayNoRoom() {
    if (strangers_.no_room().empty() || std::exchange(no_room_said_, true)) return;
    party_.say(fmt::format("warning       a connection waits that cannot be taken: {}", strangers_.no_room()));
  }

  size_t NodeOf(const Member& member) const { return static_cast<size_t>(&member - members_.data()); }

  // Whoever sent this knows the secret, so it is of the world, and so is what was done to it on the way.
  Status Spoilt(size_t node, const std::string& why) const {
    return Refuse("{} is gone: {}",
                  node < party_.nodes.size() ? NodeText(party_.nodes, node) : fmt::format("node {}", node), why);
  }

  // A node that was there may come again, restarted.
  void Lose(Member& member, const std::string& why) {
    if (!verdict_.has_value()) {
      party_.say(fmt::format("{} went away again: {}", NodeText(party_.nodes, NodeOf(member)), why));
    }
    ring_[NodeOf(member)].reset();
    member = Member{.control = nullptr, .work = nullptr, .from = "", .heard = {}, .told = member.told};
  }

  void HearGuests(Time now) {
    for (size_t i = guests_.size(); i-- > 0;) {
      Guest& guest = guests_[i];
      guest.channel->set_max_body_bytes(wire::kMaxRendezvousBytes);
      bool done = now - guest.since >= kGuestPatience;
      if (guest.hello.version != wire::kVersion) {
        // It may speak otherwise from here on; its proof says that the number is its own.
        const std::string who = guest.hello.rank < party_.nodes.size() ? NodeText(party_.nodes, guest.hello.rank)
                                                                       : fmt::format("node {}", guest.hello.rank);
        Judge(Refuse("{}: its wire version is {}, the head's is {}; run the same mrs-exec on every node", who,
                     guest.hello.version, wire::kVersion),
              guest);
        done = true;
      } else if ((guest.hello.integrity != 0) != party_.integrity) {
        Judge(UnlikeIntegrity(party_.nodes, guest.hello.rank, guest.hello.integrity != 0), guest);
        done = true;
      } else {
        if (!guest.first.has_value()) {
          Result<std::optional<Message>> message = guest.channel->TryReceive();
          if (!message.ok()) {
            if (!guest.channel->peer_gone()) Judge(Spoilt(guest.hello.rank, message.message()), guest);
            done = true;
          } else {
            guest.first = *std::move(message);
          }
        }
        if (guest.first.has_value() && !SeatIsInDoubt(guest) && !IsLookedUp(guest, now)) {
          HearGuest(guest, *guest.first, now);
          done = true;
        }
      }
      if (done) guests_.erase(guests_.begin() + static_cast<ptrdiff_t>(i));
    }
  }

  // A node that comes while it is there has come twice, or again, and what it left closes a little later than this
  // came: once more is heard of the first, both live.
  bool SeatIsInDoubt(const Guest& guest) const {
    const uint32_t node = guest.hello.rank;
    return guest.hello.magic == wire::kFirstConnection && node < members_.size() && members_[node].control &&
           members_[node].heard <= guest.since;
  }

  // Its node's name is, still.
  bool IsLookedUp(const Guest& guest, Time now) {
    const uint32_t node = guest.hello.rank;
    if (of_ring() || guest.hello.magic != wire::kFirstConnection || node >= members_.size()) return false;
    return now - guest.since < kLookupWait &&
           addresses_.IsAt(node, guest.from, guest.since, now) == NodeAddresses::Match::kLater;
  }

  // What ends the world, and is told to the guest itself, too.
  void Judge(const Status& why, Guest& guest) {
    if (!verdict_.has_value()) verdict_ = why.message();
    [[maybe_unused]] const Status told =
        guest.channel->Send(wire::Encode(wire::Verdict{*verdict_}), Clock::now() + kSendWait);
    if (guest.hello.rank < members_.size()) members_[guest.hello.rank].told |= !members_[guest.hello.rank].control;
  }

  void HearGuest(Guest& guest, const Message& message, Time now) {
    const uint32_t node = guest.hello.rank;
    if (guest.hello.magic == wire::kSecondConnection) {
      const Result<wire::Claim> claim = wire::DecodeClaim(message.body);
      const bool fits = message.type == wire::MessageType::kClaim && claim.ok() && node > 0 && node < members_.size() &&
                        members_[node].control && members_[node].token == claim->token;
      if (fits) members_[node].work = std::move(guest.channel);
      return;
    }
    if (message.type == wire::MessageType::kLeaving) return HearWhyNotJoining(guest, message);
    if (message.type != wire::MessageType::kFacts) return;
    const Result<wire::Facts> facts = wire::DecodeFacts(message.body);
    if (!facts.ok()) return Judge(facts.status(), guest);
    if (verdict_.has_value()) return Judge(Status(), guest);
    if (const Status alike = CompareFacts(party_.nodes, party_.facts, *facts); !alike.ok()) return Judge(alike, guest);
    if (facts->node != node) {
      return Judge(Refuse("{} at {} says that it is node {}", NodeText(party_.nodes, facts->node), guest.from, node),
                   guest);
    }
    if (node == 0) {
      return Judge(Refuse("{} came twice: it is the head, and {} says that it is, too; {}", NodeText(party_.nodes, 0),
                          guest.from, OwnSeatHint()),
                   guest);
    }
    Member& member = members_[node];
    if (member.control) {
      return Judge(Refuse("{} came twice: from {}{} and from {}{}; {}", NodeText(party_.nodes, node), member.from,
                          FileOf(ring_[node]), guest.from, FileOf(facts->ring), OwnSeatHint()),
                   guest);
    }
    const auto match = of_ring() ? NodeAddresses::Match::kUnknown : addresses_.IsAt(node, guest.from, guest.since, now);
    if (match == NodeAddresses::Match::kNo) {
      return Judge(Refuse("{}: its address is {}, the plan's cluster says {}; is its --node right?",
                          NodeText(party_.nodes, node), guest.from, party_.nodes[node].address),
                   guest);
    }
    if (party_.plan != nullptr && TakesItsMemory(party_.stands.rehearsal)) {
      if (const Status fits = CompareMemory(party_.nodes, *party_.plan, *facts); !fits.ok()) return Judge(fits, guest);
    }
    if (facts->ring.has_value()) {
      HearFile(node, *facts->ring, guest.from);
      if (const Status closed = CompareRing(ring_); !closed.ok()) return Judge(closed, guest);
      if (party_.plan != nullptr && TakesItsMemory(party_.stands.rehearsal)) {
        const Status fits = CompareRingMemory(ring_, MemoryNeeds(*party_.plan));
        if (!fits.ok()) return Judge(fits, guest);
      }
    }
    wire::Seat seat;
    if (getrandom(seat.token.data(), seat.token.size(), 0) != static_cast<ssize_t>(seat.token.size())) return;
    member.control = std::move(guest.channel);
    member.from = guest.from;
    member.token = seat.token;
    member.heard = now;
    wrong_[node].clear();
    Tell(member, wire::Encode(seat));
    if (member.control && match == NodeAddresses::Match::kLater) {
      party_.say(fmt::format("warning       {} came from {}, whose name is not found that soon: taken at its word",
                             NodeText(party_.nodes, node), guest.from));
    }
    if (member.control) {
      party_.say(fmt::format("{:<14}{} is there", of_ring() ? "ring" : "node", NodeText(party_.nodes, node)));
    }
  }

  // Of a node that is here, a second process that fails takes nothing away.
  void HearWhyNotJoining(Guest& guest, const Message& message) {
    const uint32_t node = guest.hello.rank;
    const Result<wire::Leaving> leaving = wire::DecodeLeaving(message.body);
    if (node == 0 || node >= members_.size() || members_[node].control) return;
    Judge(Refuse("{} failed before it joined: {}", NodeText(party_.nodes, node),
                 leaving.ok() ? Printable(leaving->text) : leaving.message()),
          guest);
  }

  void HearMembers(Time now) {
    if (now - last_look_ > kNodeBeatEvery * 4) {  // this process stood still itself
      for (Member& member : members_) member.heard = now;
    }
    last_look_ = now;
    for (Member& member : members_) {
      for (int turn = 0; turn < kNodeMessagesATurn && member.control; ++turn) {
        const Result<std::optional<Message>> message = member.control->TryReceive();
        if (!message.ok() && !member.control->peer_gone()) {
          if (!verdict_.has_value()) verdict_ = Spoilt(NodeOf(member), message.message()).message();
        } else if (!message.ok()) {
          Lose(member, "its connection closed");
        } else if (message->has_value() && (*message)->type == wire::MessageType::kLeaving) {
          const Result<wire::Leaving> leaving = wire::DecodeLeaving((*message)->body);
          if (!verdict_.has_value()) {
            verdict_ = Spoilt(NodeOf(member), leaving.ok() ? Printable(leaving->text) : leaving.message()).message();
          }
        } else if (message->has_value()) {
          member.heard = now;
          continue;
        } else if (now - member.heard >= kNodeSilence) {
          Lose(member, fmt::format("it has said nothing for {} s", kNodeSilence.count() / 1000));
        }
        break;
      }
    }
  }

  // What a rank's file says tells of its right neighbour, too, where that will come from. `from`: where this one is.
  void HearFile(uint32_t rank, const wire::RingFacts& facts, const std::string& from) {
    ring_[rank] = facts;
    const std::string& right = facts.right.address;
    addresses_.Tell((rank + 1) % members_.size(), right.empty() ? from : right);
  }

  // From the very address of a node that is missing, and more than once, it is that node, badly set up: no stranger
  // ends a world. The address may come to be known after the proof.
  void JudgeWrongProofs(Time now) {
    for (size_t node = 1; node < members_.size() && !verdict_.has_value(); ++node) {
      if (members_[node].control) continue;
      const auto is_its = [&](const WrongPlace& place) {
        return place.count >= kWrongProofs && now - place.since >= kSecondThoughts &&
               addresses_.IsKnownAt(node, place.from);
      };
      if (std::ranges::none_of(wrong_[node], is_its)) continue;
      verdict_ = fmt::format(
          "{}: its cluster secret is not the head's; give both the same --cluster-secret-file, and end what an earlier "
          "run may have left there",
          NodeText(party_.nodes, node));
      members_[node].told = true;  // by the connection that was closed
    }
  }

  void HearWrongProof(const WrongProof& wrong, Time now) {
    const uint32_t node = wrong.hello.rank;
    if (verdict_.has_value() || node == 0 || node >= members_.size() || members_[node].control) return;
    std::vector<WrongPlace>& places = wrong_[node];
    const auto at = std::ranges::find(places, wrong.from, &WrongPlace::from);
    if (at != places.end()) {
      ++at->count;
      return;
    }
    if (places.size() < kMaxWrongPlaces) places.push_back({.from = wrong.from, .since = now});
    if (wrong_said_ < kMaxWrongSaid) {
      ++wrong_said_;
      party_.say(fmt::format("a stranger    {} says that it is {} {}, and does not know the cluster secret", wrong.from,
                             of_ring() ? "rank" : "node", node));
    }
  }

  Result<std::vector<NodeLink>> Stand() {
    if (const std::string doubt = DoubtAbout(ring_); !doubt.empty()) party_.say(fmt::format("warning       {}", doubt));
    std::vector<NodeLink> links;
    for (size_t node = 1; node < members_.size(); ++node) {
      Tell(members_[node], wire::Encode(party_.stands));
      if (!members_[node].control) {
        verdict_ = fmt::format("{} went away as the world began to stand", NodeText(party_.nodes, node));
        TellVerdict();
        return Unavailable("{}", *verdict_);
      }
    }
    for (size_t node = 1; node < members_.size(); ++node) {
      NodeLink link{.node = static_cast<uint32_t>(node),
                    .address = members_[node].from,
                    .own_address = OwnAddress(members_[node].control->fd()),
                    .control = std::move(members_[node].control),
                    .work = std::move(members_[node].work),
                    .stands = {},
                    .ring = ring_[node]};
      links.push_back(std::move(link));
    }
    return links;
  }

  TcpListener listener_;
  const Party& party_;
  Strangers strangers_;
  std::vector<Guest> guests_;
  std::vector<Member> members_;  // [node]; the head's own stays empty
  NodeAddresses addresses_;
  std::vector<std::optional<wire::RingFacts>> ring_;  // [node], of those that have come
  std::vector<std::vector<WrongPlace>> wrong_;        // [node], since it is missing
  std::optional<std::string> verdict_;
  std::optional<Time> verdict_end_;
  Time last_look_ = Clock::now();
  int wrong_said_ = 0;
  bool no_room_said_ = false;
};

}  // namespace

Result<std::vector<NodeLink>> HoldRendezvous(TcpListener listener, const Party& party) {
  return Head(std::move(listener), party).Hold();
}

}  // namespace mrs
