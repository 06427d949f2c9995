#include "runtime/serve/translation.h"

#include "host/process.h"

namespace mrs::serve {

void Translation::DropBody() {
  body_ = BodyBytes();
  hold_.Clear();
}

void Translation::GiveUp() {
  stop_ = true;
  if (!taken_.exchange(true)) DropBody();
}

bool Translation::Run(const ApiModel& model) noexcept {
  const Status translated = Guarded([&] {
    fault = chat_ ? ParseChatCall(model, body_.view(), seed_, &call, &stop_)
                  : ParseCompletionCall(model, body_.view(), seed_, &call, &stop_);
  });
  out_of_memory = !translated.ok();
  DropBody();
  return !stop_;
}

}  // namespace mrs::serve
