#include "runtime/testing/scalar_llama.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

namespace mrs::testing {
namespace {

using Row = std::vector<double>;

Row Product(const TestTensor& matrix, const Row& x, const TestTensor* bias) {
  Row y(matrix.rows);
  for (uint64_t r = 0; r < matrix.rows; ++r) {
    for (uint64_t k = 0; k < matrix.columns; ++k) y[r] += matrix.values[r * matrix.columns + k] * x[k];
    if (bias != nullptr) y[r] += bias->values[r];
  }
  return y;
}

// RMS norm of each of the consecutive heads of x.
Row Norm(const TestTensor& weight, const Row& x) {
  Row y(x.size());
  for (size_t begin = 0; begin < x.size(); begin += weight.rows) {
    double squares = 0;
    for (size_t i = 0; i < weight.rows; ++i) squares += x[begin + i] * x[begin + i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(weight.rows) + kTestEps);
    for (size_t i = 0; i < weight.rows; ++i) y[begin + i] = x[begin + i] * scale * weight.values[i];
  }
  return y;
}

void Rotate(const std::vector<float>& inv_freq, double factor, size_t position, Row* x) {
  const size_t half = inv_freq.size();
  for (size_t head = 0; head < x->size(); head += 2 * half) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<float>(position) * inv_freq[i];  // in f32, as the contract says
      const double a = (*x)[head + i];
      const double b = (*x)[head + half + i];
      (*x)[head + i] = factor * (a * std::cos(angle) - b * std::sin(angle));
      (*x)[head + half + i] = factor * (b * std::cos(angle) + a * std::sin(angle));
    }
  }
}

// Softmax attention of the last position over the last `window` rows of k and v, or over all (0).
Row Attend(const TestModelConfig& config, const Row& q, std::span<const Row> k, std::span<const Row> v, size_t window) {
  if (window != 0 && k.size() > window) {
    k = k.last(window);
    v = v.last(window);
  }
  Row y(q.size());
  const size_t dim = config.head_dim;
  for (size_t head = 0; head < config.heads; ++head) {
    const size_t kv = head / (config.heads / config.kv_heads) * dim;
    Row p;
    for (const Row& key : k) {
      double score = 0;
      for (size_t d = 0; d < dim; ++d) score += q[head * dim + d] * key[kv + d];
      p.push_back(score / std::sqrt(static_cast<double>(dim)));
    }
    const double highest = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& value : p) sum += value = std::exp(value - highest);
    for (size_t t = 0; t < p.size(); ++t) {
      for (size_t d = 0; d < dim; ++d) y[head * dim + d] += p[t] / sum * v[t][kv + d];
    }
  }
  return y;
}

void AddTo(Row* x, const Row& y) {
  for (size_t i = 0; i < x->size(); ++i) (*x)[i] += y[i];
}

}  // namespace

std::vector<std::vector<double>> ScalarLogits(const TestModel& model, const std::vector<int32_t>& tokens) {
  const TestModelConfig& c = model.config;
  const auto tensor = [&](const std::string& name) -> const TestTensor& { return model.tensors.at(name); };
  const auto bias = [&](const std::string& name) { return c.bias ? &model.tensors.at(name) : nullptr; };
  const double attention_factor = model.tree.ropes[0]->attention_factor;
  std::vector<std::vector<Row>> k(c.layers);
  std::vector<std::vector<Row>> v(c.layers);
  std::vector<Row> logits;
  for (size_t position = 0; position < tokens.size(); ++position) {
    const auto embedding =
        std::span(tensor("embed").values).subspan(static_cast<size_t>(tokens[position]) * c.hidden, c.hidden);
    Row x(embedding.begin(), embedding.end());
    for (uint32_t layer = 0; layer < c.layers; ++layer) {
      const std::string l = fmt::format("l{}.", layer);
      const Row h = Norm(tensor(l + "input_norm"), x);
      Row q = Product(tensor(l + "q"), h, bias(l + "q.bias"));
      Row key = Product(tensor(l + "k"), h, bias(l + "k.bias"));
      if (c.qk_norm) {
        q = Norm(tensor(l + "q_norm"), q);
        key = Norm(tensor(l + "k_norm"), key);
      }
      Rotate(model.inv_freq, attention_factor, position, &q);
      Rotate(model.inv_freq, attention_factor, position, &key);
      k[layer].push_back(key);
      v[layer].push_back(Product(tensor(l + "v"), h, bias(l + "v.bias")));
      AddTo(&x, Product(tensor(l + "o"), Attend(c, q, k[layer], v[layer], WindowOf(c, layer)), bias(l + "o.bias")));
      const Row h2 = Norm(tensor(l + "post_norm"), x);
      Row gate = Product(tensor(l + "gate"), h2, nullptr);
      const Row up = Product(tensor(l + "up"), h2, nullptr);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      AddTo(&x, Product(tensor(l + "down"), gate, nullptr));
    }
    logits.push_back(Product(tensor("lm_head"), Norm(tensor("norm"), x), nullptr));
  }
  return logits;
}

}  // namespace mrs::testing
