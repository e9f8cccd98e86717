// Names of Asio that every file here uses, and the little of HTTP that a phone knows.
#pragma once

#include <utility>

#include <chrono>
#include <string>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>

namespace phonesim {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using Error = boost::system::error_code;
using std::chrono::steady_clock;

std::chrono::milliseconds Millis(double seconds);
// Waits; wakes early never.
awaitable<void> Sleep(double seconds);
// The value of a header line, or nothing.
std::string HeaderOf(const std::string& head, const std::string& name);

}  // namespace phonesim
