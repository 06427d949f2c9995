// For tests: the bundled model's tokenizer and template, with facts of a small plan.
#pragma once

#include <memory>

#include "formats/text/tokenizer.h"
#include "host/source_dir_for_test.h"
#include "runtime/engine/served_model.h"

namespace mrs::serve {

inline const text::Tokenizer& TestTokenizer() {
  static const text::Tokenizer tokenizer = [] {
    Result<text::Tokenizer> loaded = text::LoadTokenizer(SourceDir() + "/models/mini/tokenizer.json");
    MRS_CHECK(loaded.ok());
    return *std::move(loaded);
  }();
  return tokenizer;
}

inline ServedModel TestModel() {
  ServedModel model;
  model.name = "mini";
  model.plan_sha256 = std::string(64, 'a');
  model.chat_template =
      "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
  model.template_tokens = {{"bos_token", "<|begin_of_text|>"}, {"eos_token", "<|end|>"}};
  model.max_len = 64;
  model.max_seqs = 4;
  model.vocab = 1000;
  model.defaults.temperature = 0.7f;
  model.defaults.top_p = 0.9f;
  model.defaults.top_k = 40;
  model.tokenizer = &TestTokenizer();
  return model;
}

}  // namespace mrs::serve
