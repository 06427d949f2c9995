#include "runtime/serve/http_head.h"

#include <gtest/gtest.h>

#include "runtime/serve/http_reply.h"

namespace mrs::serve {
namespace {

constexpr size_t kMax = 100;

int StatusOf(const Fault& fault) { return fault.has_value() ? fault->status : 0; }

int LineStatus(std::string_view bytes) { return StatusOf(JudgeRequestLine(bytes, kMax).fault); }

TEST(RequestLine, WaitsForItsEnd) {
  for (const char* part : {"", "G", "GET /health HTTP/2.0", "GET /health HTTP/1.1\r"}) {
    EXPECT_FALSE(JudgeRequestLine(part, kMax).complete) << part;
    EXPECT_EQ(LineStatus(part), 0) << part;
  }
  EXPECT_TRUE(JudgeRequestLine("GET /health HTTP/1.1\r\nHost", kMax).complete);
}

TEST(RequestLine, ReadsLaterMinorVersionsAsOne) {
  const std::string line = "GET /HTTP/1.7 HTTP/1.2\r\n";
  const RequestLine judged = JudgeRequestLine(line, kMax);
  EXPECT_TRUE(judged.complete);
  EXPECT_EQ(judged.minor_digit, line.rfind('2'));
  for (const char* known : {"GET / HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "GET /\r\n", "GET / http/1.1\r\n", "\r\n"}) {
    EXPECT_EQ(JudgeRequestLine(known, kMax).minor_digit, std::nullopt) << known;
  }
}

TEST(RequestLine, RefusesOtherMajorVersions) {
  for (const char* line : {"PRI * HTTP/2.0\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/3.1\r\n"}) {
    EXPECT_EQ(LineStatus(line), 505) << line;
  }
  EXPECT_EQ(JudgeRequestLine("PRI * HTTP/2.0\r\n", kMax).fault->message,
            "HTTP/2.0 is not spoken here; use HTTP/1.1 or HTTP/1.0");
}

TEST(RequestLine, RefusesWhatIsNoLine) {
  EXPECT_EQ(LineStatus("GET / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(LineStatus("\x16\x03\x01"), 400);  // TLS, at once
  EXPECT_EQ(LineStatus("GET\t/"), 400);
  EXPECT_EQ(LineStatus("GET /" + std::string(kMax, 'x')), 414);
  EXPECT_EQ(LineStatus("GET /" + std::string(kMax - 6, 'x') + "\r"), 0);
}

HeadFacts Judge(std::vector<HttpField> fields, unsigned version = 11) {
  fields.insert(fields.begin(), {"Host", "localhost"});
  return JudgeFields(version, fields);
}

TEST(HeadFacts, AHostThereMustBeAndOnlyOne) {
  EXPECT_EQ(StatusOf(JudgeFields(11, {{"host", "localhost:80"}}).fault), 0);
  EXPECT_EQ(JudgeFields(11, {}).fault->message, "Host is missing: HTTP/1.1 requires it");
  EXPECT_EQ(StatusOf(JudgeFields(10, {}).fault), 0);
  for (const unsigned version : {10u, 11u}) {
    EXPECT_EQ(JudgeFields(version, {{"Host", "a"}, {"HOST", "a"}}).fault->message,
              "Host appears 2 times, expected once");
    EXPECT_EQ(StatusOf(JudgeFields(version, {{"Host", ""}, {"Host", ""}}).fault), 400);
    EXPECT_EQ(JudgeFields(version, {{"Host", "evil.com@localhost"}}).fault->message,
              "Host \"evil.com@localhost\": expected a host and perhaps a port");
  }
}

TEST(HeadFacts, AuthoritiesAreHostsAndPorts) {
  for (const char* good : {"", "localhost", "localhost:", "a.b-c_d~:0080", "127.0.0.1:1", "[::1]", "[::1]:80", "a%20b",
                           "[v1.fe80::a+en1]", "a,b"}) {
    EXPECT_TRUE(IsAuthority(good)) << good;
  }
  for (const char* bad : {"a b", "a@b", "localhost:evil.com", "localhost:80:80", "[::1", "[]", "[::1]x", "::1", "a/b",
                          "a%2", "a%zz", "a#", "\xc3\xa4", "a, b", "[::1]80", "[a b]"}) {
    EXPECT_FALSE(IsAuthority(bad)) << bad;
  }
}

TEST(HeadFacts, ABodyEndsBeyondDoubt) {
  const auto status = [](std::string_view coding, unsigned version = 11) {
    return StatusOf(Judge({{"Transfer-Encoding", coding}}, version).fault);
  };
  EXPECT_EQ(status("chunked"), 0);
  EXPECT_EQ(status("Chunked"), 0);
  EXPECT_EQ(status(" , chunked,"), 0);
  EXPECT_EQ(status("gzip, chunked"), 501);
  EXPECT_EQ(status("xchunked, chunked"), 501);
  for (const char* open : {"", "gzip", "identity", "xchunked", "chunked, gzip", "chunked, chunked", "chunked;q=1"}) {
    EXPECT_EQ(status(open), 400) << open;
  }
  EXPECT_EQ(status("chunked", 10), 400);
  EXPECT_EQ(StatusOf(Judge({{"Transfer-Encoding", "chunked"}, {"transfer-encoding", "identity"}}).fault), 400);
  EXPECT_EQ(StatusOf(Judge({{"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}}).fault), 501);
  EXPECT_EQ(Judge({{"Transfer-Encoding", "gzip, chunked"}}).fault->message,
            "Transfer-Encoding \"gzip, chunked\": only chunked is implemented; send the body as it is");
  EXPECT_EQ(Judge({{"Transfer-Encoding", "chunked, gzip"}}).fault->message,
            "Transfer-Encoding \"chunked, gzip\": expected chunked, once and last");
}

TEST(HeadFacts, ExpectationsAreOneOrNone) {
  EXPECT_TRUE(Judge({{"Expect", "100-Continue"}}).expects_continue);
  EXPECT_FALSE(Judge({}).expects_continue);
  for (const char* other : {"200-ok", "100-continue, x", "100-continue; a=b"}) {
    EXPECT_EQ(StatusOf(Judge({{"Expect", other}}).fault), 417) << other;
    EXPECT_EQ(StatusOf(Judge({{"Expect", other}}, 10).fault), 0) << other;
  }
  EXPECT_FALSE(Judge({{"Expect", "100-continue"}}, 10).expects_continue);
}

TEST(HeadFacts, ConnectionsStayByVersionAndOption) {
  const auto keeps = [](unsigned version, std::string_view options) {
    return Judge({{"Connection", options}}, version).keep_alive;
  };
  EXPECT_TRUE(keeps(11, ""));
  EXPECT_FALSE(keeps(10, ""));
  EXPECT_TRUE(keeps(10, "Keep-Alive"));
  EXPECT_FALSE(keeps(11, "CLOSE"));
  for (const unsigned version : {10u, 11u}) {
    EXPECT_FALSE(keeps(version, "keep-alive, close"));
    EXPECT_FALSE(keeps(version, "upgrade ,close"));
    EXPECT_FALSE(Judge({{"Connection", "keep-alive"}, {"Connection", "close"}}, version).keep_alive);
  }
  EXPECT_TRUE(keeps(11, "closed, x"));
}

TEST(FieldValue, JoinsWhatHasOneName) {
  EXPECT_EQ(FieldValue({{"A", "1"}, {"b", "2"}, {"a", ""}, {"a", "3"}}, "a"), "1, 3");
  EXPECT_EQ(FieldValue({{"A", "1"}}, "c"), "");
}

TEST(HttpDate, IsTheExampleOfTheStandard) {
  EXPECT_EQ(HttpDate(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(WriteReply, SaysALengthWhereThereMayBeABody) {
  const ReplyForm form{.keep_alive = true, .head_only = false, .date = "D"};
  EXPECT_EQ(WriteReply({.status = 200, .body = "{}"}, form),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: "
            "keep-alive\r\n\r\n{}");
  EXPECT_EQ(WriteReply({.status = 204, .body = "", .fields = "Allow: GET\r\n"}, form),
            "HTTP/1.1 204 No Content\r\nDate: D\r\nAllow: GET\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(WriteReply({.status = 304, .body = ""}, {.keep_alive = false, .head_only = false, .date = "D"}),
            "HTTP/1.1 304 Not Modified\r\nDate: D\r\nConnection: close\r\n\r\n");
}

}  // namespace
}  // namespace mrs::serve
