// phonepki: the command line client.
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/commands.h"

namespace phonepki::cli {

void Session::Print(const google::protobuf::Message& response, const google::protobuf::Message& object,
                    const Columns& fields) const {
  std::cout << (json() ? Json(response) : Card(object, fields));
}

std::string ResourceName(const std::string& collection, const std::string& text) {
  return text.rfind(collection + "/", 0) == 0 ? text : collection + "/" + text;
}

std::int64_t ParseTime(const std::string& text) {
  if (text == "now")
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    std::tm parts{};
    parts.tm_isdst = -1;
    const char* end = strptime(text.c_str(), format, &parts);
    if (end == nullptr || *end != '\0') continue;
    return std::strchr(format, 'Z') != nullptr ? timegm(&parts) : mktime(&parts);
  }
  throw CLI::ValidationError(
      "time", "\"" + text + "\" is not now, YYYY-MM-DD, 'YYYY-MM-DD hh:mm' (local) or YYYY-MM-DDThh:mm:ssZ");
}

std::pair<std::string, std::string> ParseProperty(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos)
    throw CLI::ValidationError("property", "\"" + text + "\" must be name=value");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string ReadInput(const std::string& path) {
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw CLI::ValidationError("file", "cannot read " + path);
  text << file.rdbuf();
  return text.str();
}

}  // namespace phonepki::cli

int main(int argc, char** argv) {
  using namespace phonepki::cli;
  CLI::App app{"Internal PKI and certificate roll-outs for fleets of desk phones."};
  app.name("phonepki");
  Session session;
  app.add_option("--context", session.connection.context_file, "Context file (server and credentials)");
  app.add_option("--server", session.connection.server, "host:port");
  app.add_option("--ca-file", session.connection.ca_file, "CA of the server's certificate, PEM");
  app.add_option("--cert-file", session.connection.cert_file, "Own certificate, PEM");
  app.add_option("--key-file", session.connection.key_file, "Own private key, PEM");
  app.add_option("--timeout", session.connection.timeout_seconds, "Seconds per call")->capture_default_str();
  app.add_option("-o,--output", session.output, "table or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"table", "json"}));
  app.set_version_flag("--version", PHONEPKI_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit status: 0 done, 1 internal, 2 wrong arguments, 3 not found, 4 exists or not possible now, 5 not "
      "allowed,\n"
      "6 server cannot be reached, 7 the awaited work is over but not all of it succeeded.");
  AddCaCommands(app, session);
  AddPluginCommands(app, session);
  AddConnectorCommands(app, session);
  AddLocationCommands(app, session);
  AddDeviceCommands(app, session);
  AddDeploymentCommands(app, session);
  AddJobCommands(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kOk : kUsage;
  }
  return session.exit_code;
}
