// A list that never changes once it is made; its copies share it.
//
//   const SharedList<int32_t> ids = {3, 5};   // 256 prompts of one request hold these two ids once, not 256 times
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace mrs {

template <typename T>
class SharedList {
 public:
  using value_type = T;
  using const_iterator = const T*;
  SharedList() = default;
  SharedList(std::vector<T> items)
      : items_(items.empty() ? nullptr : std::make_shared<const std::vector<T>>(std::move(items))) {}
  SharedList(std::initializer_list<T> items) : SharedList(std::vector<T>(items)) {}

  const T* begin() const { return items_ == nullptr ? nullptr : items_->data(); }
  const T* end() const { return begin() + size(); }
  size_t size() const { return items_ == nullptr ? 0 : items_->size(); }
  bool empty() const { return size() == 0; }
  // Whether both are one in memory.
  bool shares(const SharedList& other) const { return items_ == other.items_; }

 private:
  std::shared_ptr<const std::vector<T>> items_;
};

}  // namespace mrs
