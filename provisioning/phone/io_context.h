// Internal: the Asio side of IoRuntime.
#pragma once

#include <utility>  // Boost 1.74 needs std::exchange before its awaitable.hpp

#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "provisioning/phone/io_runtime.h"

namespace phonepki::provisioning::phone {

struct IoRuntime::Context {
  explicit Context(int threads) : io(threads), work(boost::asio::make_work_guard(io)) {}
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::vector<std::thread> threads;
};

}  // namespace phonepki::provisioning::phone
