// The few threads that carry all network input and output of the phone doors, knocks and probes.
#pragma once

#include <functional>
#include <memory>

namespace phonepki::provisioning::phone {

class IoRuntime {
 public:
  explicit IoRuntime(int threads);
  // Stops and joins. Doors, knockers and probers must be gone or stopped by then.
  ~IoRuntime();
  void Stop();

  struct Context;  // boost::asio::io_context, seen only by the files that include Asio
  Context& context() { return *context_; }

 private:
  std::unique_ptr<Context> context_;
};

}  // namespace phonepki::provisioning::phone
