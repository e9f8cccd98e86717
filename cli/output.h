// What a person or a script sees: tables that fit the terminal, JSON, progress bars.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>

#include "phonepki/deployment/v1/deployment.pb.h"

namespace phonepki::cli {

// Heading and the path of a field, "certificate.not_after".
using Columns = std::vector<std::pair<std::string, std::string>>;

// Text of a field for people: local time, enum names in lower case, lists joined.
std::string FieldText(const google::protobuf::Message& message, const std::string& path);

std::string Table(const std::vector<const google::protobuf::Message*>& rows, const Columns& columns,
                  int width);
// "Name:  value" lines, empty values left out.
std::string Card(const google::protobuf::Message& message, const Columns& fields);
// Field names as in the .proto files; stable.
std::string Json(const google::protobuf::Message& message);

bool IsTerminal();
int TerminalWidth();

// Progress of deployments: redrawn in place on a terminal, a line per change in a pipe.
class ProgressDisplay {
 public:
  ProgressDisplay(bool terminal, int width) : terminal_(terminal), width_(width) {}
  // What to print for this state; `seconds` since the start.
  std::string Show(const deployment::v1::WatchProgressResponse& state, double seconds);

 private:
  bool terminal_;
  int width_;
  int drawn_lines_ = 0;
  std::vector<std::string> last_;
};
std::string ProgressBar(double share, int cells);

}  // namespace phonepki::cli
