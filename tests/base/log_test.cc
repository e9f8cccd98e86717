#include "base/log.h"

#include <thread>

#include <absl/strings/str_split.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/secret.h"

namespace phonepki::base {
namespace {

class LogTest : public ::testing::Test {
 protected:
  ~LogTest() override { SetLogLevel(LogLevel::kInfo); }

  // The lines that `log` writes.
  template <typename F>
  static std::vector<std::string> Lines(F log) {
    ::testing::internal::CaptureStderr();
    log();
    return absl::StrSplit(::testing::internal::GetCapturedStderr(), '\n', absl::SkipEmpty());
  }
  template <typename F>
  static nlohmann::json Line(F log) {
    const std::vector<std::string> lines = Lines(log);
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? nlohmann::json() : nlohmann::json::parse(lines[0], nullptr, false);
  }
};

TEST_F(LogTest, AnEventIsOneJsonLineWithItsFields) {
  const nlohmann::json line = Line([] {
    LogWarn("knock_sent", {{"device", "00:1A:E8:00:00:01"}, {"job", 7}, {"late", true}, {"seconds", 1.5}});
  });
  EXPECT_EQ(line["level"], "warn");
  EXPECT_EQ(line["event"], "knock_sent");
  EXPECT_EQ(line["device"], "00:1A:E8:00:00:01");
  EXPECT_EQ(line["job"], 7);
  EXPECT_EQ(line["late"], true);
  EXPECT_EQ(line["seconds"], 1.5);
  const std::string ts = line["ts"];
  EXPECT_EQ(ts.size(), std::string("2026-01-01T00:00:00.000000Z").size()) << ts;
  EXPECT_EQ(ts.back(), 'Z');
}

TEST_F(LogTest, HostileTextCannotForgeALine) {
  const std::string hostile = "x\"}\n{\"event\":\"login_ok\"}\r\t\\ \x1b[2J";
  const nlohmann::json line = Line([&] { LogInfo("request_refused", {{"from", hostile}}); });
  EXPECT_EQ(line["event"], "request_refused");
  EXPECT_EQ(line["from"], hostile);
}

TEST_F(LogTest, InvalidUtf8IsReplacedAndTheLineKept) {
  const nlohmann::json line = Line([] {
    LogInfo("e", {{"name", "B\xfcro"}, {"nul", std::string("a\0b", 3)}});
  });
  EXPECT_EQ(line["name"], "B\xef\xbf\xbdro");
  EXPECT_EQ(line["nul"], std::string("a\0b", 3));
}

TEST_F(LogTest, AStatusIsWrittenWithItsMessage) {
  const nlohmann::json line = Line([] { LogError("e", {{"error", InvalidField("f", "R", "rule")}}); });
  EXPECT_NE(line["error"].get<std::string>().find("f: rule"), std::string::npos);
}

TEST_F(LogTest, LargeAndNegativeNumbersKeepEveryDigit) {
  const nlohmann::json line = Line([] {
    LogInfo("e", {{"big", std::int64_t{9007199254740993}}, {"negative", -1}});
  });
  EXPECT_EQ(line["big"], 9007199254740993);
  EXPECT_EQ(line["negative"], -1);
}

TEST_F(LogTest, LinesBelowTheLevelAreDropped) {
  EXPECT_TRUE(Lines([] { LogDebug("e"); }).empty());
  SetLogLevel(LogLevel::kDebug);
  EXPECT_EQ(Lines([] { LogDebug("e"); }).size(), 1u);
  SetLogLevel(LogLevel::kError);
  EXPECT_TRUE(Lines([] { LogWarn("e"); }).empty());
  EXPECT_EQ(Lines([] { LogError("e"); }).size(), 1u);
}

TEST_F(LogTest, LinesOfSeveralThreadsDoNotMix) {
  const std::vector<std::string> lines = Lines([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([] {
        for (int i = 0; i < 50; ++i) LogInfo("e", {{"text", std::string(300, 'x')}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_EQ(lines.size(), 200u);
  for (const std::string& line : lines)
    EXPECT_FALSE(nlohmann::json::parse(line, nullptr, false).is_discarded());
}

TEST_F(LogTest, LevelsAreReadByName) {
  LogLevel level = LogLevel::kInfo;
  for (const auto& [name, expected] :
       {std::pair("debug", LogLevel::kDebug), std::pair("info", LogLevel::kInfo),
        std::pair("warn", LogLevel::kWarn), std::pair("error", LogLevel::kError)}) {
    EXPECT_TRUE(ParseLogLevel(name, &level));
    EXPECT_EQ(level, expected);
  }
  for (const char* name : {"", "INFO", "warning", "3"}) EXPECT_FALSE(ParseLogLevel(name, &level)) << name;
}

// A secret cannot be a field: it would have to be turned into text by name first.
static_assert(!std::is_constructible_v<LogField, const char*, const Secret&>);

}  // namespace
}  // namespace phonepki::base
