#include "runtime/comm/tcp_meeting.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include "runtime/comm/crowd.h"
#include "runtime/comm/tcp_dialer.h"
#include "runtime/comm/tcp_socket.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;

// Connections that have not proven themselves yet, where the limit on open files allows so many.
constexpr size_t kMaxSlots = 1024;
constexpr std::chrono::seconds kPatience{5};
// So many are taken from the queue before all are looked at again.
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kTurn{50};

size_t SlotCount() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxSlots / 4;
  return std::clamp<size_t>(limit.rlim_cur / 4, 8, kMaxSlots);
}

// An accepted connection of which nothing is known yet.
struct Stranger {
  Fd fd;
  Origin origin = {};
  std::optional<size_t> awaited = {};  // which one it must be; it came through other ranks
  Clock::time_point patience_end = {};
  Nonce nonce = {};  // sent to it
  ConnectorMessage message = {};
  size_t received = 0;
};

class Party {
 public:
  Party(const TcpListener* listener, const Meeting& meeting, std::vector<Dial> dials, std::vector<Awaited> awaited)
      : listener_(listener), meeting_(meeting), awaited_(std::move(awaited)), met_(awaited_.size()) {
    for (Dial& dial : dials) dialers_.emplace_back(meeting, std::move(dial));
  }

  Result<std::vector<MetLink>> Run() {
    for (size_t i = 0; i < awaited_.size(); ++i) {
      if (!awaited_[i].fd) continue;
      Stranger stranger{.fd = std::move(awaited_[i].fd), .awaited = i, .patience_end = meeting_.end};
      MRS_RETURN_IF_ERROR(Greet(std::move(stranger)));
    }
    size_t met_count = 0;
    while (!Done()) {
      TellProgress(&met_count);
      if (Clock::now() >= std::min(end_, way_end_))
        return way_ended_.empty() ? Missing() : Unavailable("{}", way_ended_);
      if (meeting_.abort != nullptr && meeting_.abort->load()) {
        return Unavailable("{}: rank {} of {}: aborted while the ranks connect", meeting_.what, meeting_.rank,
                           meeting_.size);
      }
      Wait();
      for (Dialer& dialer : dialers_) {
        MRS_RETURN_IF_ERROR(dialer.Advance());
        if (dialer.ended()) WayEnded(dialer.WhyEnded());
      }
      for (size_t i = strangers_.size(); i-- > 0;) MRS_RETURN_IF_ERROR(Hear(i));
      MRS_RETURN_IF_ERROR(Accept());
    }
    if (meeting_.pulse != nullptr) meeting_.pulse->WaitOver();
    std::vector<MetLink> links;
    for (Dialer& dialer : dialers_) links.push_back(dialer.Take());
    for (std::optional<MetLink>& link : met_) links.push_back(*std::move(link));
    return links;
  }

 private:
  bool Done() const {
    return std::all_of(dialers_.begin(), dialers_.end(), [](const Dialer& dialer) { return dialer.done(); }) &&
           std::all_of(met_.begin(), met_.end(), [](const auto& link) { return link.has_value(); });
  }

  // Who is waited for: the first that is missing; and until when.
  void TellProgress(size_t* met_count) {
    int missing = -1;
    size_t count = 0;
    const auto look = [&](bool met, const LinkId& link) {
      count += met ? 1 : 0;
      if (!met && missing < 0) missing = link.peer;
    };
    for (const Dialer& dialer : dialers_) look(dialer.done(), dialer.link());
    for (size_t i = 0; i < awaited_.size(); ++i) look(met_[i].has_value(), awaited_[i].link);
    const bool more = count > *met_count;
    *met_count = count;
    if (meeting_.pulse != nullptr) {
      if (more) meeting_.pulse->Count();
      meeting_.pulse->WaitFor(missing);
    }
    if (!meeting_.others_later.has_value() || meeting_.end == Clock::time_point::max()) return;
    if (more) base_end_ = std::max(base_end_, After(Clock::now(), meeting_.deadline));
    const bool waits_only = std::all_of(dialers_.begin(), dialers_.end(), [](const Dialer& d) { return d.done(); });
    end_ = base_end_ + (waits_only ? *meeting_.others_later : std::chrono::milliseconds(0));
  }

  void Wait() {
    polls_.clear();
    Clock::time_point until = std::min({end_, way_end_, Clock::now() + kTurn});
    for (const Dialer& dialer : dialers_) {
      if (const pollfd waits = dialer.Waits(&until); waits.fd >= 0) polls_.push_back(waits);
    }
    for (const Stranger& stranger : strangers_) {
      polls_.push_back({.fd = stranger.fd.get(), .events = POLLIN, .revents = 0});
    }
    if (listener_ != nullptr && !no_room_) polls_.push_back({.fd = listener_->fd(), .events = POLLIN, .revents = 0});
    no_room_ = false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    poll(polls_.data(), polls_.size(), static_cast<int>(std::max<int64_t>(left, 0)));
  }

  Status Accept() {
    if (listener_ == nullptr) return Status();
    for (int turn = 0; turn < kAcceptsPerTurn; ++turn) {
      sockaddr_storage address{};
      socklen_t size = sizeof(address);
      if (strangers_.size() >= slot_count_ && !PutOne()) return Status();
      Fd fd(accept4(listener_->fd(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        const bool scarce = IsScarce(errno, listener_->fd());
        if (scarce && PutOne()) continue;
        no_room_ = scarce;  // the queue stays readable: looked at again after a turn
        return Status();
      }
      Note(TuneSocket(fd.get(), meeting_.tuning.congestion));
      MRS_RETURN_IF_ERROR(
          Greet({.fd = std::move(fd), .origin = OriginOf(address), .patience_end = Clock::now() + kPatience}));
    }
    return Status();
  }

  Status Greet(Stranger stranger) {
    MRS_ASSIGN_OR_RETURN(stranger.nonce, RandomNonce());
    // 32 bytes always fit an empty socket buffer.
    if (send(stranger.fd.get(), stranger.nonce.data(), sizeof(Nonce), MSG_NOSIGNAL) != sizeof(Nonce)) {
      PutOut(stranger);
      return Status();
    }
    strangers_.push_back(std::move(stranger));
    return Status();
  }

  // Puts out the oldest stranger of the address that has most of them. False: there is none to put out.
  bool PutOne() {
    const auto oldest = WhomToPutOut(
        strangers_, [](const Stranger& stranger) { return stranger.awaited ? nullptr : &stranger.origin; });
    if (oldest == strangers_.end()) return false;
    strangers_.erase(oldest);  // they are in the order in which they came
    ++dropped_count_;
    return true;
  }

  // Reads what came from a stranger and, once that is whole, checks the proof.
  Status Hear(size_t index) {
    Stranger& stranger = strangers_[index];
    const auto message = std::as_writable_bytes(std::span(&stranger.message, 1)).subspan(stranger.received);
    const ssize_t bytes = recv(stranger.fd.get(), message.data(), message.size(), MSG_DONTWAIT);
    bool drop = bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) ||
                Clock::now() >= stranger.patience_end;
    if (bytes > 0) stranger.received += static_cast<size_t>(bytes);
    if (stranger.received == sizeof(ConnectorMessage)) {
      const Proof proof = MakeProof(meeting_.secret, AuthRole::kConnector, stranger.nonce, stranger.message.nonce,
                                    stranger.message.hello);
      if (SameProof(proof, stranger.message.proof)) {
        const Status welcome = Welcome(stranger);
        strangers_.erase(strangers_.begin() + static_cast<ptrdiff_t>(index));
        return welcome;
      }
      drop = true;
    }
    if (!drop) return Status();
    PutOut(stranger);
    strangers_.erase(strangers_.begin() + static_cast<ptrdiff_t>(index));
    return Status();
  }

  void PutOut(const Stranger& stranger) {
    if (!stranger.awaited) {
      ++dropped_count_;
      return;
    }
    WayEnded(
        fmt::format("{}: rank {} of {}: the way from rank {} ended at the handshake, or led to one without the secret",
                    meeting_.what, meeting_.rank, meeting_.size, awaited_[*stranger.awaited].link.peer));
  }

  // Answers a proven connection. Its hello is to be believed, but may be of another world.
  Status Welcome(Stranger& stranger) {
    const Hello& theirs = stranger.message.hello;
    AcceptorMessage answer;
    answer.hello = OwnHello(meeting_, {.peer = 0,
                                       .from = static_cast<int>(theirs.from & 0xffff),
                                       .to = static_cast<int>(theirs.to & 0xffff),
                                       .stream = theirs.stream});
    answer.proof =
        MakeProof(meeting_.secret, AuthRole::kAcceptor, stranger.nonce, stranger.message.nonce, answer.hello);
    // Sent even to a rank that is refused, so that it can name the difference too. It always fits the buffer.
    const bool sent = send(stranger.fd.get(), &answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(answer);
    if (const std::string unlike = UnlikeWorlds(theirs, answer.hello); !unlike.empty()) {
      return Refuse("{}: rank {} of {} (version {}): rank {} of {} (version {}) connected; {}", meeting_.what,
                    meeting_.rank, meeting_.size, answer.hello.version, theirs.rank, theirs.size, theirs.version,
                    unlike);
    }
    size_t index = 0;
    while (index < awaited_.size() && (met_[index] || !IsOf(awaited_[index].link, theirs))) ++index;
    if (index == awaited_.size() || (stranger.awaited && index != *stranger.awaited)) {
      if (meeting_.shape == MeshShape::kRing && !awaited_.empty() &&
          theirs.rank != static_cast<uint32_t>(awaited_[0].link.peer)) {
        return Refuse(
            "ring: rank {} of {}: its left neighbour is rank {}, but rank {} connected, which took it for its right "
            "neighbour: the ring is not closed; correct right_ip and right_port of rank {}",
            meeting_.rank, meeting_.size, awaited_[0].link.peer, theirs.rank, theirs.rank);
      }
      return Refuse("{}: rank {} of {}: rank {} connected{}, which is not expected or is there already", meeting_.what,
                    meeting_.rank, meeting_.size, theirs.rank,
                    meeting_.streams == 1 ? "" : fmt::format(" as stream {}", theirs.stream));
    }
    if (!sent) {
      return Unavailable("{}: rank {}: rank {} closed the connection at the handshake", meeting_.what, meeting_.rank,
                         theirs.rank);
    }
    met_[index] = MetLink{.link = awaited_[index].link,
                          .fd = std::move(stranger.fd),
                          .dialed = false,
                          .acceptor_nonce = stranger.nonce,
                          .connector_nonce = stranger.message.nonce};
    return Status();
  }

  static bool IsOf(const LinkId& link, const Hello& hello) {
    return static_cast<uint32_t>(link.peer) == hello.rank && static_cast<uint32_t>(link.from) == hello.from &&
           static_cast<uint32_t>(link.to) == hello.to && link.stream == hello.stream;
  }

  // The first is told, unless others have told more by then.
  void WayEnded(std::string why) {
    if (!way_ended_.empty()) return;
    way_ended_ = std::move(why);
    way_end_ = Clock::now() + meeting_.way_ended_later;
  }

  Error Missing() const {
    int missing_count = 0;
    const Awaited* first = nullptr;
    for (size_t i = 0; i < awaited_.size(); ++i) {
      if (met_[i]) continue;
      if (first == nullptr) first = &awaited_[i];
      ++missing_count;
    }
    for (const Dialer& dialer : dialers_) {
      if (dialer.done()) continue;
      return Unavailable(
          "{}{}", dialer.Why(),
          first == nullptr ? "" : fmt::format("; nor did {}rank {} connect", first->role, first->link.peer));
    }
    return Unavailable(
        "{}: rank {} of {}: no connection from {}rank {} within {} ms ({} missing, {} connections "
        "without the cluster secret)",
        meeting_.what, meeting_.rank, meeting_.size, first->role, first->link.peer, meeting_.deadline.count(),
        missing_count, dropped_count_);
  }

  void Note(std::string note) {
    if (note.empty() || meeting_.notes == nullptr) return;
    std::vector<std::string>& notes = *meeting_.notes;
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(std::move(note));
  }

  const TcpListener* const listener_;
  const Meeting& meeting_;
  Clock::time_point base_end_ = meeting_.end;  // for who cannot reach another
  Clock::time_point end_ = meeting_.end;
  std::string way_ended_;                                 // how the first did that went through others; "": none
  Clock::time_point way_end_ = Clock::time_point::max();  // when that is said
  std::vector<Dialer> dialers_;
  std::vector<Awaited> awaited_;
  std::vector<std::optional<MetLink>> met_;  // [awaited_]
  std::vector<Stranger> strangers_;          // in the order in which they came
  std::vector<pollfd> polls_;
  const size_t slot_count_ = SlotCount();
  bool no_room_ = false;  // for another descriptor: the listener's queue waits for a turn
  int dropped_count_ = 0;
};

}  // namespace

Result<std::vector<MetLink>> Meet(const TcpListener* listener, const Meeting& meeting, std::vector<Dial> dials,
                                  std::vector<Awaited> awaited) {
  return Party(listener, meeting, std::move(dials), std::move(awaited)).Run();
}

}  // namespace mrs
