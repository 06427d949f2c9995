// How a template reads what a message says: as one string, or part by part. The judgement is vLLM's
// (_detect_content_format), by the template alone, so that the same template gets the same prompt here and there: a
// loop over `content` of what a loop over the messages gives asks for parts.
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "formats/text/chat_template.h"
#include "formats/text/template_ast.h"

namespace mrs::text {
namespace {

// What an expression takes (elements of): filters, tests and slices are looked through.
const Expression& RootOf(const Expression& expression) {
  const Expression* root = &expression;
  while ((root->kind == Expression::kFilter || root->kind == Expression::kTest || root->kind == Expression::kSlice) &&
         root->children[0] != nullptr) {
    root = root->children[0].get();
  }
  return *root;
}

// messages | list  ->  "messages"
const std::string* VariableOf(const Expression& expression) {
  const Expression& root = RootOf(expression);
  return root.kind == Expression::kName ? &root.text : nullptr;
}

// message.content, message['content'][1:]  ->  "message"
const std::string* OwnerOfContent(const Expression& expression) {
  const Expression& root = RootOf(expression);
  bool is_content = root.kind == Expression::kAttribute && root.text == "content";
  if (root.kind == Expression::kItem) {
    const Expression& index = *root.children[1];
    is_content =
        index.kind == Expression::kConstant && index.constant.is_string() && index.constant.text() == "content";
  }
  return is_content && root.children[0]->kind == Expression::kName ? &root.children[0]->text : nullptr;
}

// Every statement of these kinds, wherever it stands, in the order of the text.
void Find(const Block& block, std::initializer_list<Statement::Kind> kinds, std::vector<const Statement*>* found) {
  for (const Statement& statement : block) {
    if (std::find(kinds.begin(), kinds.end(), statement.kind) != kinds.end()) found->push_back(&statement);
    for (const Branch& branch : statement.branches) Find(branch.body, kinds, found);
    Find(statement.body, kinds, found);
    Find(statement.else_body, kinds, found);
  }
}

// vLLM gives up on a value that goes to more than a plain name.
bool NamesOne(const Statement& statement) {
  return statement.kind != Statement::kSetAttribute && statement.targets.size() == 1;
}

}  // namespace

bool ReadsContentInParts(const ChatTemplate& chat_template) {
  std::vector<const Statement*> sets, loops;
  Find(chat_template.ast->body, {Statement::kSet, Statement::kSetAttribute}, &sets);
  Find(chat_template.ast->body, {Statement::kFor}, &loops);
  std::unordered_multimap<std::string_view, const Statement*> sets_of;  // by the variable that they give a name to
  for (const Statement* set : sets) {
    if (const std::string* variable = VariableOf(*set->value)) sets_of.emplace(*variable, set);
  }
  // The list of messages, and other names of it.
  std::unordered_set<std::string_view> lists = {"messages"};
  for (std::vector<std::string_view> open = {"messages"}; !open.empty();) {
    const auto [begin, end] = sets_of.equal_range(open.back());
    open.pop_back();
    for (auto set = begin; set != end; ++set) {
      if (!NamesOne(*set->second)) return false;
      const std::string& name = set->second->targets[0];
      if (lists.insert(name).second) open.push_back(name);
    }
  }
  std::unordered_set<std::string_view> messages;
  for (const Statement* loop : loops) {
    const std::string* list = VariableOf(*loop->value);
    if (list == nullptr || !lists.contains(*list)) continue;
    if (!NamesOne(*loop)) return false;
    messages.insert(loop->targets[0]);
  }
  for (const Statement* loop : loops) {
    const std::string* message = OwnerOfContent(*loop->value);
    if (message != nullptr && messages.contains(*message)) return NamesOne(*loop);
  }
  return false;
}

}  // namespace mrs::text
