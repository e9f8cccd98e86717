#include "phonesim/net.h"

#include <algorithm>
#include <sstream>

namespace phonesim {

std::chrono::milliseconds Millis(double seconds) {
  return std::chrono::milliseconds(static_cast<int>(seconds * 1000));
}

awaitable<void> Sleep(double seconds) {
  asio::steady_timer timer(co_await asio::this_coro::executor, Millis(seconds));
  Error error;
  co_await timer.async_wait(asio::redirect_error(use_awaitable, error));
}

std::string HeaderOf(const std::string& head, const std::string& name) {
  std::istringstream lines(head);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.size() > name.size() && line[name.size()] == ':' &&
        std::equal(name.begin(), name.end(), line.begin(),
                   [](char a, char b) { return std::tolower(a) == std::tolower(b); })) {
      std::string value = line.substr(name.size() + 1);
      while (!value.empty() && (value.back() == '\r' || value.back() == ' ')) value.pop_back();
      return value.substr(std::min(value.find_first_not_of(' '), value.size()));
    }
  }
  return "";
}

}  // namespace phonesim
