#include "phonesim/control.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "phonesim/addresses.h"

namespace phonesim {
namespace {

using Json = nlohmann::ordered_json;
using Protocol = asio::local::stream_protocol;

constexpr std::size_t kLongestLine = 64 << 10;

struct Order {
  const char* name;
  bool (*apply)(Phone& phone, const std::string& value);
};
constexpr Order kOrders[] = {
    {"reboot", [](Phone& phone, const std::string&) { return phone.Reboot(); }},
    {"call-start", [](Phone& phone, const std::string&) { return phone.StartCall(0); }},
    {"call-end", [](Phone& phone, const std::string&) { return phone.EndCall(); }},
    {"offline", [](Phone& phone, const std::string&) { return phone.SwitchOff(); }},
    {"online", [](Phone& phone, const std::string&) { return phone.SwitchOn(); }},
    {"pin", [](Phone& phone, const std::string& value) { return phone.TypePin(value); }},
    {"default-security", [](Phone& phone, const std::string&) { return phone.ResetToDefaultSecurity(); }},
    {"factory-reset", [](Phone& phone, const std::string&) { return phone.FactoryReset(); }},
    {"local-change", [](Phone& phone, const std::string&) { return phone.ChangeLocally(); }},
};

Json Refusal(const std::string& why) {
  return {{"ok", false}, {"error", why}};
}

std::string Commands() {
  std::string text = "status";
  for (const Order& order : kOrders) text += std::string(", ") + order.name;
  return text;
}

}  // namespace

ControlDoor::~ControlDoor() {
  if (!path_.empty()) unlink(path_.c_str());
}

void ControlDoor::Open(const std::string& path) {
  const Protocol::endpoint endpoint(path);
  Protocol::socket other(io_);
  Error nobody;
  other.connect(endpoint, nobody);
  if (!nobody) throw boost::system::system_error(asio::error::address_in_use);
  if (nobody == asio::error::connection_refused) unlink(path.c_str());
  acceptor_.open();
  acceptor_.bind(endpoint);
  acceptor_.listen();
  path_ = path;
  asio::co_spawn(io_, Accept(), asio::detached);
}

awaitable<void> ControlDoor::Accept() {
  for (;;) {
    Error error;
    Socket socket = co_await acceptor_.async_accept(asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    asio::co_spawn(io_, Serve(std::make_shared<Socket>(std::move(socket))), asio::detached);
  }
}

awaitable<void> ControlDoor::Serve(std::shared_ptr<Socket> socket) {
  std::string received;
  for (;;) {
    Error error;
    const std::size_t size =
        co_await asio::async_read_until(*socket, asio::dynamic_buffer(received, kLongestLine), '\n',
                                        asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    const std::string answer = Answer(received.substr(0, size - 1)).dump() + "\n";
    received.erase(0, size);
    co_await asio::async_write(*socket, asio::buffer(answer), asio::redirect_error(use_awaitable, error));
    if (error) co_return;
  }
}

Json ControlDoor::Answer(const std::string& line) {
  const Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) return Refusal("not a JSON object");
  const auto text = [&request](const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string command = text("command"), name = text("phone");
  if (command == "status" && name.empty()) return Summary();
  if (name.empty()) return Refusal("name a phone by its address or MAC address, or say all");
  const std::vector<Phone*> chosen = Find(name);
  if (chosen.empty()) return Refusal("there is no phone " + name);
  if (command == "status") {
    Json list = Json::array();
    for (const Phone* phone : chosen) list.push_back(phone->Status());
    return {{"ok", true}, {"phones", std::move(list)}};
  }
  for (const Order& order : kOrders) {
    if (command != order.name) continue;
    int obeyed = 0;
    try {
      for (Phone* phone : chosen) obeyed += order.apply(*phone, text("value"));
    } catch (const boost::system::system_error& error) {
      return Refusal(error.what());
    }
    return {{"ok", true}, {"command", command}, {"phones", obeyed}};
  }
  return Refusal("unknown command \"" + command + "\"; there are " + Commands());
}

std::vector<Phone*> ControlDoor::Find(const std::string& name) const {
  const std::string mac = UpperMac(name);
  std::vector<Phone*> found;
  for (const auto& phone : phones_) {
    if (name == "all" || phone->ip() == name || phone->mac() == mac) found.push_back(phone.get());
  }
  return found;
}

Json ControlDoor::Summary() const {
  const auto count = [this](bool (Phone::*is)() const) {
    return std::count_if(phones_.begin(), phones_.end(), [is](const auto& phone) { return (*phone.*is)(); });
  };
  return {{"ok", true},
          {"phones", phones_.size()},
          {"on", count(&Phone::on)},
          {"in_call", count(&Phone::in_call)},
          {"in_session", count(&Phone::in_session)},
          {"awaiting_pin", count(&Phone::awaiting_pin)},
          {"secure_mode", count(&Phone::secure)},
          {"factory_certificate", count(&Phone::has_factory_certificate)}};
}

int RunControl(const std::string& path, const std::string& command, const std::string& phone,
               const std::string& value) {
  Json request{{"command", command}};
  if (!value.empty()) request["value"] = value;
  if (!phone.empty()) request["phone"] = phone;
  std::string answer;
  try {
    asio::io_context io;
    Protocol::socket socket(io);
    socket.connect(Protocol::endpoint(path));
    asio::write(socket, asio::buffer(request.dump() + "\n"));
    answer.resize(asio::read_until(socket, asio::dynamic_buffer(answer), '\n') - 1);
  } catch (const boost::system::system_error& error) {
    std::cerr << "phonesim: no fleet answers at " << path << ": " << error.what() << "\n";
    return 2;
  }
  std::cout << answer << std::endl;
  const Json parsed = Json::parse(answer, nullptr, false);
  return parsed.is_object() && parsed.value("ok", false) ? 0 : 1;
}

}  // namespace phonesim
