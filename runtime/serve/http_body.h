// The body of a request as it comes in: one run of bytes that grows with what is here. A client's Content-Length is no
// reason to set memory aside, and growing copies nothing: it is the sockets' thread that does it.
#pragma once

#include <algorithm>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional/optional.hpp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace mrs::serve {

// realloc moves the pages of a large block instead of their bytes, which a std::string cannot.
class BodyBytes {
 public:
  BodyBytes() = default;
  BodyBytes(BodyBytes&& other) noexcept { *this = std::move(other); }
  BodyBytes& operator=(BodyBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~BodyBytes() { std::free(data_); }

  bool Append(const void* bytes, size_t count) {  // false: there is no memory, and nothing has changed
    if (count == 0) return true;
    if (size_ + count > capacity_) {
      const size_t room = std::max(size_ + count, capacity_ + std::min(capacity_, kMaxStepBytes));
      void* const grown = std::realloc(data_, room);
      if (grown == nullptr) return false;
      data_ = static_cast<char*>(grown);
      capacity_ = room;
    }
    std::memcpy(data_ + size_, bytes, count);
    size_ += count;
    return true;
  }
  std::string_view view() const { return {data_, size_}; }
  size_t capacity() const { return capacity_; }

 private:
  static constexpr size_t kMaxStepBytes = size_t{4} << 20;
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// A Body of Boost.Beast that can be read.
struct GrowingBody {
  using value_type = BodyBytes;

  class reader {
   public:
    template <bool is_request, class Fields>
    reader(boost::beast::http::header<is_request, Fields>&, value_type& body) : body_(body) {}

    void init(const boost::optional<std::uint64_t>&, boost::system::error_code& error) { error = {}; }

    template <class Buffers>
    std::size_t put(const Buffers& buffers, boost::system::error_code& error) {
      std::size_t taken = 0;
      error = {};
      for (const auto buffer : boost::beast::buffers_range_ref(buffers)) {
        if (!body_.Append(buffer.data(), buffer.size())) {
          error = make_error_code(boost::system::errc::not_enough_memory);
          break;
        }
        taken += buffer.size();
      }
      return taken;
    }

    void finish(boost::system::error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

}  // namespace mrs::serve
