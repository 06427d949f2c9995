#include "runtime/serve/api_error.h"

namespace mrs::serve {

Json ErrorObject(const ApiError& error) {
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json object = Json::object();
  object["message"] = error.message;
  // 501 and 505 are of what was asked: asking again changes nothing.
  const bool ours = error.status >= 500 && error.status != 501 && error.status != 505;
  object["type"] = ours ? "server_error" : "invalid_request_error";
  object["param"] = text_or_null(error.param);
  object["code"] = text_or_null(error.code);
  return object;
}

std::string ErrorBody(const ApiError& error) {
  Json body = Json::object();
  body["error"] = ErrorObject(error);
  return DumpJson(body);
}

}  // namespace mrs::serve
