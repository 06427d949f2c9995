// Walks a parsed template. Every node costs a step, every byte a sixteenth of one, and calls nest only so deep.
#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <utility>

#include "formats/text/chat_template.h"
#include "formats/text/template_access.h"
#include "formats/text/template_ast.h"
#include "formats/text/template_filters.h"
#include "formats/text/template_predicates.h"

namespace mrs::text {
namespace {

// Expressions and statements inside each other, macros' bodies included; a frame of the walk takes about 1 KB.
constexpr int kMaxWalkDepth = 400;
constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox

enum class Flow { kNext, kBreak, kContinue };

using Scope = std::map<std::string, Value, std::less<>>;

struct Macro {
  const Statement* definition;
  size_t scope_count;  // it sees the scopes that were open where it was defined
};

class Interpreter {
 public:
  explicit Interpreter(const RenderOptions& options)
      : options_(options), budget_{options.max_steps, options.max_output_bytes, options.stop} {}

  Result<std::string> Run(const TemplateAst& ast, const Json& context) {
    scopes_.emplace_back();
    for (const char* name : {"range", "namespace", "raise_exception", "dict", "strftime_now"}) {
      if (std::string_view(name) == "strftime_now" && !options_.now) continue;
      Value function = MakeString(name);
      function.kind = Value::kFunction;
      scopes_[0].emplace(name, std::move(function));
    }
    if (!context.is_object()) return Refuse("chat template: the context is no object");
    for (const auto& [name, json] : context.get_ref<const Json::object_t&>()) {
      Result<Value> value = FromJson(json);
      if (!value.ok()) return Refuse("chat template: '{}': {}", name, value.message());
      scopes_[0].insert_or_assign(name, *std::move(value));
    }
    scopes_.emplace_back();
    std::string out;
    out_ = &out;
    const Result<Flow> flow = Walk(ast.body);
    if (flow.ok()) return out;
    if (raised_) return Refuse("chat template: {}", flow.message());
    return Refuse("chat template: line {}: {}", line_, flow.message());
  }

 private:
  struct Deeper {
    explicit Deeper(int* counter) : depth(counter) { ++*depth; }
    ~Deeper() { --*depth; }
    int* depth;
  };
  Status CheckDepth() const {
    return depth_ > kMaxWalkDepth ? Status(Refuse("nested deeper than {} calls", kMaxWalkDepth)) : Status();
  }

  Status Write(std::string_view text) {
    MRS_RETURN_IF_ERROR(budget_.ChargeBytes(text.size()));
    if (out_->size() + text.size() > budget_.max_bytes) {
      return Refuse("writes more than {} bytes", budget_.max_bytes);
    }
    out_->append(text);
    return {};
  }

  // ---- statements

  Result<Flow> Walk(const Block& block) {
    for (const Statement& statement : block) {
      MRS_ASSIGN_OR_RETURN(const Flow flow, Walk(statement));
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Result<Flow> Walk(const Statement& statement) {
    const Deeper deeper(&depth_);
    MRS_RETURN_IF_ERROR(CheckDepth());
    MRS_RETURN_IF_ERROR(budget_.Charge(1));
    line_ = statement.line;
    switch (statement.kind) {
      case Statement::kText:
        MRS_RETURN_IF_ERROR(Write(statement.text));
        return Flow::kNext;
      case Statement::kOutput: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*statement.value));
        if (value.is_string()) {
          MRS_RETURN_IF_ERROR(Write(value.text()));
        } else {
          MRS_ASSIGN_OR_RETURN(const std::string text, ChargedText(budget_, value));
          MRS_RETURN_IF_ERROR(Write(text));
        }
        return Flow::kNext;
      }
      case Statement::kIf:
        for (const Branch& branch : statement.branches) {
          if (branch.condition) {
            MRS_ASSIGN_OR_RETURN(const Value condition, Eval(*branch.condition));
            if (!IsTrue(condition)) continue;
          }
          return Walk(branch.body);
        }
        return Flow::kNext;
      case Statement::kFor:
        return WalkFor(statement);
      case Statement::kSet: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*statement.value));
        MRS_RETURN_IF_ERROR(Assign(statement.targets, value));
        return Flow::kNext;
      }
      case Statement::kSetAttribute: {
        const Value* target = Find(statement.targets[0]);
        if (target == nullptr || target->kind != Value::kNamespace) {
          return Refuse("'{}' is no namespace, so its attributes cannot be set", statement.targets[0]);
        }
        const auto index = static_cast<size_t>(target->integer);
        MRS_ASSIGN_OR_RETURN(Value value, Eval(*statement.value));
        namespaces_[index].insert_or_assign(statement.text, std::move(value));
        return Flow::kNext;
      }
      case Statement::kSetBlock: {
        MRS_ASSIGN_OR_RETURN(Value value, Capture(statement.body));
        if (statement.value) {
          captured_ = std::move(value);
          MRS_ASSIGN_OR_RETURN(value, Eval(*statement.value));
        }
        MRS_RETURN_IF_ERROR(Assign(statement.targets, value));
        return Flow::kNext;
      }
      case Statement::kMacro: {
        Value macro;
        macro.kind = Value::kMacro;
        macro.integer = static_cast<int64_t>(macros_.size());
        macros_.push_back({&statement, scopes_.size()});
        scopes_.back().insert_or_assign(statement.text, std::move(macro));
        return Flow::kNext;
      }
      case Statement::kBreak:
        return Flow::kBreak;
      case Statement::kContinue:
        return Flow::kContinue;
      case Statement::kScope: {
        scopes_.emplace_back();
        Result<Flow> flow = Walk(statement.body);
        scopes_.pop_back();
        return flow;
      }
    }
    return Flow::kNext;
  }

  Status Assign(const std::vector<std::string>& targets, const Value& value) {
    if (targets.size() == 1) {
      scopes_.back().insert_or_assign(targets[0], value);
      return {};
    }
    MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget_, value));
    if (list->items.size() != targets.size()) {
      return Refuse("{} values for {} names", list->items.size(), targets.size());
    }
    for (size_t i = 0; i < targets.size(); ++i) scopes_.back().insert_or_assign(targets[i], list->items[i]);
    return {};
  }

  Result<Flow> WalkFor(const Statement& statement) {
    MRS_ASSIGN_OR_RETURN(const Value value, Eval(*statement.value));
    MRS_ASSIGN_OR_RETURN(auto items, Iterate(budget_, value));
    scopes_.emplace_back();
    Result<Flow> flow = WalkItems(statement, std::move(items));
    scopes_.pop_back();
    return flow;
  }

  Result<Flow> WalkItems(const Statement& statement, std::shared_ptr<const ListValue> items) {
    if (statement.condition) {  // filtered first: loop.length counts what is left
      auto kept = std::make_shared<ListValue>();
      for (const Value& item : items->items) {
        MRS_RETURN_IF_ERROR(Assign(statement.targets, item));
        MRS_ASSIGN_OR_RETURN(const Value condition, Eval(*statement.condition));
        if (IsTrue(condition)) kept->items.push_back(item);
      }
      items = std::move(kept);
    }
    for (size_t i = 0; i < items->items.size(); ++i) {
      MRS_RETURN_IF_ERROR(budget_.Charge(1));
      scopes_.back().clear();
      MRS_RETURN_IF_ERROR(Assign(statement.targets, items->items[i]));
      Value loop;
      loop.kind = Value::kLoop;
      loop.heap = std::make_shared<const LoopState>(LoopState{items, i});
      scopes_.back().insert_or_assign("loop", std::move(loop));
      MRS_ASSIGN_OR_RETURN(const Flow flow, Walk(statement.body));
      if (flow == Flow::kBreak) break;
    }
    if (!items->items.empty()) return Flow::kNext;
    scopes_.back().clear();
    return Walk(statement.else_body);
  }

  // What a block writes, as a value.
  Result<Value> Capture(const Block& block) {
    std::string text;
    std::string* const outer = std::exchange(out_, &text);
    scopes_.emplace_back();
    const Result<Flow> flow = Walk(block);
    scopes_.pop_back();
    out_ = outer;
    if (!flow.ok()) return flow.error();
    return MakeString(std::move(text));
  }

  // ---- expressions

  const Value* Find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return &found->second;
    }
    return nullptr;
  }

  Result<Value> Eval(const Expression& node) {
    const Deeper deeper(&depth_);
    MRS_RETURN_IF_ERROR(CheckDepth());
    MRS_RETURN_IF_ERROR(budget_.Charge(1));
    line_ = node.line;
    switch (node.kind) {
      case Expression::kConstant:
        return node.constant;
      case Expression::kName: {
        const Value* value = Find(node.text);
        return value != nullptr ? *value : MakeUndefined(node.text);
      }
      case Expression::kList:
      case Expression::kTuple: {
        MRS_ASSIGN_OR_RETURN(std::vector<Value> items, EvalFrom(node, 0));
        return MakeList(std::move(items), node.kind == Expression::kList ? Value::kList : Value::kTuple);
      }
      case Expression::kDict:
        return EvalDict(node);
      case Expression::kAttribute: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*node.children[0]));
        line_ = node.line;
        if (value.kind == Value::kNamespace) return NamespaceItem(value, node.text);
        return GetAttribute(budget_, value, node.text);
      }
      case Expression::kItem: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*node.children[0]));
        MRS_ASSIGN_OR_RETURN(const Value key, Eval(*node.children[1]));
        line_ = node.line;
        if (value.kind == Value::kNamespace && key.is_string()) return NamespaceItem(value, key.text());
        return GetItem(budget_, value, key);
      }
      case Expression::kSlice: {
        std::array<Value, 4> parts;
        for (size_t i = 0; i < 4; ++i) {
          if (!node.children[i]) continue;
          MRS_ASSIGN_OR_RETURN(parts[i], Eval(*node.children[i]));
        }
        const auto part = [&](size_t i) { return node.children[i] ? &parts[i] : nullptr; };
        return GetSlice(budget_, parts[0], part(1), part(2), part(3));
      }
      case Expression::kCall:
        return EvalCall(node);
      case Expression::kFilter: {
        Value value;
        if (node.children[0]) {
          MRS_ASSIGN_OR_RETURN(value, Eval(*node.children[0]));
        } else {
          value = std::exchange(captured_, Value());
        }
        MRS_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(node));
        line_ = node.line;
        return ApplyFilter(budget_, node.text, value, arguments);
      }
      case Expression::kTest: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*node.children[0]));
        MRS_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(node));
        MRS_ASSIGN_OR_RETURN(const bool holds, ApplyTest(budget_, node.text, value, arguments));
        return MakeBool(holds);
      }
      case Expression::kNot: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*node.children[0]));
        return MakeBool(!IsTrue(value));
      }
      case Expression::kNegative: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*node.children[0]));
        return value.kind == Value::kFloat ? Result<Value>(MakeFloat(-value.real))
                                           : Binary(budget_, "-", MakeInt(0), value);
      }
      case Expression::kPositive: {
        MRS_ASSIGN_OR_RETURN(const Value value, Eval(*node.children[0]));
        return Binary(budget_, "+", MakeInt(0), value);
      }
      case Expression::kBinary: {
        MRS_ASSIGN_OR_RETURN(const Value left, Eval(*node.children[0]));
        MRS_ASSIGN_OR_RETURN(const Value right, Eval(*node.children[1]));
        line_ = node.line;
        return Binary(budget_, node.text, left, right);
      }
      case Expression::kAnd:
      case Expression::kOr: {
        MRS_ASSIGN_OR_RETURN(Value left, Eval(*node.children[0]));
        if (IsTrue(left) == (node.kind == Expression::kOr)) return left;
        return Eval(*node.children[1]);
      }
      case Expression::kCompare: {
        MRS_ASSIGN_OR_RETURN(Value left, Eval(*node.children[0]));
        for (size_t i = 0; i < node.operators.size(); ++i) {
          MRS_ASSIGN_OR_RETURN(Value right, Eval(*node.children[i + 1]));
          line_ = node.line;
          MRS_ASSIGN_OR_RETURN(const bool holds, Relate(budget_, node.operators[i], left, right));
          if (!holds) return MakeBool(false);
          left = std::move(right);
        }
        return MakeBool(true);
      }
      case Expression::kConcat: {
        std::string text;
        for (const ExpressionPtr& child : node.children) {
          MRS_ASSIGN_OR_RETURN(const Value value, Eval(*child));
          MRS_ASSIGN_OR_RETURN(const std::string part, ChargedText(budget_, value));
          text.append(part);
          if (text.size() > budget_.max_bytes) return budget_.ChargeBytes(text.size()).error();
        }
        return MakeString(std::move(text));
      }
      case Expression::kCondition: {
        MRS_ASSIGN_OR_RETURN(const Value condition, Eval(*node.children[0]));
        if (IsTrue(condition)) return Eval(*node.children[1]);
        if (node.children[2]) return Eval(*node.children[2]);
        return MakeUndefined("an if without an else");
      }
    }
    return MakeNone();
  }

  Result<std::vector<Value>> EvalFrom(const Expression& node, size_t first) {
    std::vector<Value> values;
    for (size_t i = first; i < node.children.size(); ++i) {
      MRS_ASSIGN_OR_RETURN(Value value, Eval(*node.children[i]));
      values.push_back(std::move(value));
    }
    return values;
  }

  Result<Arguments> EvalArguments(const Expression& node) {
    Arguments arguments;
    MRS_ASSIGN_OR_RETURN(arguments.positional, EvalFrom(node, 1));
    for (const auto& [name, expression] : node.named) {
      MRS_ASSIGN_OR_RETURN(Value value, Eval(*expression));
      arguments.named.emplace_back(name, std::move(value));
    }
    return arguments;
  }

  Result<Value> EvalDict(const Expression& node) {
    std::vector<std::pair<std::string, Value>> items;
    for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
      MRS_ASSIGN_OR_RETURN(const Value key, Eval(*node.children[i]));
      if (!key.is_string()) return Refuse("a dict's key of type {} is not supported; supported: str", TypeName(key));
      MRS_ASSIGN_OR_RETURN(Value value, Eval(*node.children[i + 1]));
      items.emplace_back(key.text(), std::move(value));
    }
    return MakeDict(std::move(items));
  }

  Result<Value> NamespaceItem(const Value& value, std::string_view name) const {
    const Scope& scope = namespaces_[static_cast<size_t>(value.integer)];
    const auto found = scope.find(name);
    return found != scope.end() ? found->second : MakeUndefined(name);
  }

  Result<Value> EvalCall(const Expression& node) {
    MRS_ASSIGN_OR_RETURN(const Value callee, Eval(*node.children[0]));
    MRS_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(node));
    line_ = node.line;
    switch (callee.kind) {
      case Value::kMethod:
        return CallMethod(budget_, callee.method(), arguments);
      case Value::kMacro:
        return CallMacro(macros_[static_cast<size_t>(callee.integer)], arguments);
      case Value::kFunction:
        return CallFunction(callee.text(), arguments);
      case Value::kUndefined:
        return Refuse("'{}' is undefined, so it cannot be called", callee.text());
      default:
        return Refuse("a {} cannot be called", TypeName(callee));
    }
  }

  Result<Value> CallMacro(const Macro& macro, const Arguments& arguments) {
    const Statement& definition = *macro.definition;
    Scope scope;
    ArgumentReader reader(definition.text, arguments);
    const size_t first_default = definition.targets.size() - definition.defaults.size();
    // The body sees what was there at the definition, not what is there at the call.
    std::vector<Scope> hidden;
    while (scopes_.size() > macro.scope_count) {
      hidden.push_back(std::move(scopes_.back()));
      scopes_.pop_back();
    }
    scopes_.emplace_back();
    Result<Value> result = [&]() -> Result<Value> {
      for (size_t i = 0; i < definition.targets.size(); ++i) {
        const std::string& name = definition.targets[i];
        Value value = MakeUndefined(name);
        if (const Value* given = reader.Next(name); given != nullptr) {
          value = *given;
        } else if (i >= first_default) {
          MRS_ASSIGN_OR_RETURN(value, Eval(*definition.defaults[i - first_default]));
        }
        scopes_.back().insert_or_assign(name, std::move(value));
      }
      MRS_RETURN_IF_ERROR(reader.Done());
      return Capture(definition.body);
    }();
    scopes_.pop_back();
    while (!hidden.empty()) {
      scopes_.push_back(std::move(hidden.back()));
      hidden.pop_back();
    }
    return result;
  }

  Result<Value> CallFunction(const std::string& name, const Arguments& arguments) {
    ArgumentReader reader(name, arguments);
    if (name == "raise_exception") {
      const Value* message = reader.Next("message");
      std::string text = "raise_exception() without a message";
      if (message != nullptr) {
        MRS_ASSIGN_OR_RETURN(text, ChargedText(budget_, *message));
      }
      raised_ = true;
      return Refuse("{}", text);
    }
    if (name == "strftime_now") {
      MRS_ASSIGN_OR_RETURN(const std::string format, reader.NextString("format", ""));
      MRS_RETURN_IF_ERROR(reader.Done());
      if (format.size() > 256) return Refuse("strftime_now: a format of more than 256 bytes");
      std::array<char, 4096> text{};
      const size_t size = format.empty() ? 0 : std::strftime(text.data(), text.size(), format.c_str(), &*options_.now);
      return MakeString(std::string(text.data(), size));
    }
    if (name == "range") return Range(arguments);
    // namespace and dict: a dict or none, then names.
    std::vector<std::pair<std::string, Value>> items;
    if (!arguments.positional.empty()) {
      if (arguments.positional.size() > 1 || !arguments.positional[0].is_dict()) return Refuse("{} takes a dict", name);
      items = arguments.positional[0].dict().items;
    }
    items.insert(items.end(), arguments.named.begin(), arguments.named.end());
    MRS_RETURN_IF_ERROR(budget_.Charge(1 + static_cast<int64_t>(items.size())));
    if (name == "dict") return MakeDict(std::move(items));
    Value value;
    value.kind = Value::kNamespace;
    value.integer = static_cast<int64_t>(namespaces_.size());
    Scope& scope = namespaces_.emplace_back();
    for (auto& [key, item] : items) scope.insert_or_assign(key, std::move(item));
    return value;
  }

  Result<Value> Range(const Arguments& arguments) {
    std::array<int64_t, 3> bounds = {0, 0, 1};
    const size_t count = arguments.positional.size();
    if (count < 1 || count > 3 || !arguments.named.empty()) return Refuse("range takes 1 to 3 integers");
    for (size_t i = 0; i < count; ++i) {
      if (!arguments.positional[i].is_integer()) return Refuse("range takes integers");
      bounds[count == 1 ? 1 : i] =
          std::clamp<int64_t>(arguments.positional[i].integer, -(int64_t{1} << 40), int64_t{1} << 40);
    }
    const auto [from, to, step] = bounds;
    if (step == 0) return Refuse("range with a step of 0");
    const int64_t span = step > 0 ? to - from : from - to;
    const int64_t size = span <= 0 ? 0 : 1 + (span - 1) / (step > 0 ? step : -step);
    if (size > kMaxRange) return Refuse("a range of {} values, at most {} are allowed", size, kMaxRange);
    MRS_RETURN_IF_ERROR(budget_.Charge(1 + size));
    std::vector<Value> items;
    for (int64_t i = 0; i < size; ++i) items.push_back(MakeInt(from + i * step));
    return MakeList(std::move(items));
  }

  const RenderOptions& options_;
  Budget budget_;
  std::vector<Scope> scopes_;  // functions and context, the template's own, then one a loop, block or macro
  std::deque<Scope> namespaces_;
  std::deque<Macro> macros_;
  std::string* out_ = nullptr;
  Value captured_;  // of the set block whose filters are being applied
  int line_ = 1;
  int depth_ = 0;
  bool raised_ = false;
};

}  // namespace

Result<ChatTemplate> ParseTemplate(std::string_view text) {
  MRS_ASSIGN_OR_RETURN(TemplateAst ast, ParseTemplateAst(text));
  return ChatTemplate{std::make_shared<const TemplateAst>(std::move(ast))};
}

Result<std::string> Render(const ChatTemplate& chat_template, const Json& context, const RenderOptions& options) {
  return Interpreter(options).Run(*chat_template.ast, context);
}

}  // namespace mrs::text
