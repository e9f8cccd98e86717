// The commands, noun by noun. Each adds its subcommands and what they do to the application.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <google/protobuf/message.h>
#include <CLI/CLI.hpp>

#include "cli/client.h"
#include "cli/output.h"

namespace phonepki::cli {

struct Session {
  Connection connection;
  std::string output = "table";  // table, json
  int exit_code = kOk;

  bool json() const { return output == "json"; }
  // A created or fetched object: a card for people, the response as JSON for scripts.
  void Print(const google::protobuf::Message& response, const google::protobuf::Message& object,
             const Columns& fields) const;
};

void AddCaCommands(CLI::App& app, Session& session);
void AddPluginCommands(CLI::App& app, Session& session);
void AddConnectorCommands(CLI::App& app, Session& session);
void AddLocationCommands(CLI::App& app, Session& session);
void AddDeviceCommands(CLI::App& app, Session& session);
void AddDeploymentCommands(CLI::App& app, Session& session);
void AddJobCommands(CLI::App& app, Session& session);

// "7" or a display name → "internalCas/7"; a full resource name stays.
std::string ResourceName(const std::string& collection, const std::string& text);
// "now", "2026-12-01", "2026-12-01 02:00" (local), RFC 3339. Throws CLI::ValidationError.
std::int64_t ParseTime(const std::string& text);
std::pair<std::string, std::string> ParseProperty(const std::string& text);
std::string ReadInput(const std::string& path);  // "-": standard input

}  // namespace phonepki::cli
