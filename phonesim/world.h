// What all phones of a process share. One thread runs everything.
#pragma once

#include "phonesim/net.h"

#include <map>
#include <string>

#include "phonesim/credential.h"
#include "phonesim/ledger.h"
#include "phonesim/options.h"

namespace phonesim {

struct World {
  explicit World(const Options& given)
      : options(given),
        ledger(given.ledger),
        factory(MakeFactoryDefault()),
        any_tls(asio::ssl::context::tls_client),
        tls12(asio::ssl::context::tls_client) {
    for (auto* context : {&any_tls, &tls12}) {
      context->set_verify_mode(asio::ssl::verify_none);
      SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
    }
    SSL_CTX_set_max_proto_version(tls12.native_handle(), TLS1_2_VERSION);
  }

  const Options options;
  Ledger ledger;
  asio::io_context io{1};
  Credential factory;
  asio::ssl::context any_tls, tls12;
  int booting = 0;
  steady_clock::time_point next_typing{};      // deriving a key from a PIN holds everything up
  std::map<std::string, std::string> cookies;  // the last one of each phone, by address
};

}  // namespace phonesim
