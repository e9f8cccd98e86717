// A socket behind a slow line: it moves at most so many octets per second in each direction, in small
// portions. Stands below TLS, so that handshakes are slow, too. A rate of 0 is no limit and costs nothing.
#pragma once

#include "phonesim/net.h"

#include <algorithm>

namespace phonesim {

class PacedSocket {
 public:
  using lowest_layer_type = tcp::socket::lowest_layer_type;
  using executor_type = tcp::socket::executor_type;

  PacedSocket(tcp::socket socket, double octets_per_second)
      : socket_(std::move(socket)),
        seconds_per_octet_(octets_per_second > 0 ? 1 / octets_per_second : 0),
        portion_(std::max<std::size_t>(1, static_cast<std::size_t>(octets_per_second / 20))),
        reading_(socket_.get_executor()),
        writing_(socket_.get_executor()) {}

  executor_type get_executor() { return socket_.get_executor(); }
  lowest_layer_type& lowest_layer() { return socket_.lowest_layer(); }
  tcp::socket& socket() { return socket_; }

  void Close() {
    Error ignored;
    socket_.close(ignored);
    reading_.timer.cancel();
    writing_.timer.cancel();
  }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    if (seconds_per_octet_ == 0) return socket_.async_read_some(buffers, std::forward<Token>(token));
    const asio::mutable_buffer first = *asio::buffer_sequence_begin(buffers);
    return asio::async_compose<Token, void(Error, std::size_t)>(
        Transfer<asio::mutable_buffer>{*this, reading_, asio::buffer(first, portion_)}, token, socket_);
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    if (seconds_per_octet_ == 0) return socket_.async_write_some(buffers, std::forward<Token>(token));
    const asio::const_buffer first = *asio::buffer_sequence_begin(buffers);
    return asio::async_compose<Token, void(Error, std::size_t)>(
        Transfer<asio::const_buffer>{*this, writing_, asio::buffer(first, portion_)}, token, socket_);
  }

 private:
  struct Direction {
    explicit Direction(const executor_type& executor) : timer(executor) {}
    asio::steady_timer timer;
    steady_clock::time_point free_at{};  // when the line has carried what it was given
  };

  // Waits for the line, then moves one portion.
  template <typename Buffer>
  struct Transfer {
    PacedSocket& owner;
    Direction& direction;
    Buffer portion;
    enum { kWaiting, kMoving, kDone } step = kWaiting;

    template <typename Self>
    void operator()(Self& self, Error error = {}, std::size_t size = 0) {
      if (step == kWaiting) {
        step = kMoving;
        direction.timer.expires_at(direction.free_at);
        direction.timer.async_wait(std::move(self));
      } else if (step == kMoving && !error) {
        step = kDone;
        if constexpr (std::is_same_v<Buffer, asio::mutable_buffer>) {
          owner.socket_.async_read_some(portion, std::move(self));
        } else {
          owner.socket_.async_write_some(portion, std::move(self));
        }
      } else {
        direction.free_at = std::max(direction.free_at, steady_clock::now()) +
                            std::chrono::duration_cast<steady_clock::duration>(
                                std::chrono::duration<double>(owner.seconds_per_octet_ * size));
        self.complete(error, size);
      }
    }
  };

  tcp::socket socket_;
  const double seconds_per_octet_;
  const std::size_t portion_;
  Direction reading_, writing_;
};

}  // namespace phonesim
