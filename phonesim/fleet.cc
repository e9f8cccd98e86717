#include "phonesim/fleet.h"

#include <sys/stat.h>

#include <iostream>
#include <memory>
#include <vector>

#include "phonesim/control.h"
#include "phonesim/phone.h"

namespace phonesim {

int RunFleet(const Options& options) {
  World world(options);
  std::vector<std::shared_ptr<Phone>> phones;
  if (!options.state_dir.empty()) mkdir(options.state_dir.c_str(), 0700);
  try {
    for (int i = 0; i < options.phones; ++i) {
      phones.push_back(std::make_shared<Phone>(world, i));
      phones.back()->Listen();
    }
  } catch (const std::exception& error) {
    const std::string ip = phones.empty() ? options.first_address : phones.back()->ip();
    std::cerr << "phonesim: phone " << ip << " cannot listen on port " << options.contact_port << " or "
              << options.web_port << ": " << error.what() << "\n";
    return 1;
  }
  ControlDoor control(world.io, phones);
  try {
    if (!options.control.empty()) control.Open(options.control);
  } catch (const std::exception& error) {
    std::cerr << "phonesim: cannot listen at " << options.control << ": " << error.what() << "\n";
    return 1;
  }
  std::cout << nlohmann::ordered_json({{"event", "ready"}, {"phones", options.phones}}).dump() << std::endl;
  for (const auto& phone : phones) phone->Start();
  asio::signal_set signals(world.io, SIGINT, SIGTERM);
  signals.async_wait([&](Error, int) { world.io.stop(); });
  world.io.run();
  nlohmann::ordered_json counts;
  counts["event"] = "stopped";
  for (const auto& [event, count] : world.ledger.Counts()) counts[event] = count;
  std::cout << counts.dump() << std::endl;
  return 0;
}

}  // namespace phonesim
