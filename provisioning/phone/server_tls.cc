#include "provisioning/phone/server_tls.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/error.hpp>

#include <absl/strings/str_cat.h>

#include "base/status_macros.h"

namespace phonepki::provisioning::phone {
namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(STACK_OF(X509_NAME) * names) const { sk_X509_NAME_pop_free(names, X509_NAME_free); }
};
using CertificatePtr = std::unique_ptr<X509, Free>;
using StorePtr = std::unique_ptr<X509_STORE, Free>;
using NamesPtr = std::unique_ptr<STACK_OF(X509_NAME), Free>;

base::Bytes DerOf(const X509* certificate) {
  base::Bytes der;
  const int size = certificate == nullptr ? 0 : i2d_X509(certificate, nullptr);
  if (size <= 0) return der;
  der.resize(static_cast<std::size_t>(size));
  unsigned char* at = der.data();
  i2d_X509(certificate, &at);
  return der;
}

// Called for each certificate of the client's chain; leaves OpenSSL's verdict as it is.
int NoteFailure(int good, X509_STORE_CTX* verification) {
  if (good == 1) return good;
  const auto* ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* check = ssl == nullptr ? nullptr : static_cast<ClientCheck*>(SSL_get_app_data(ssl));
  if (check != nullptr) {
    check->error = X509_STORE_CTX_get_error(verification);
    check->depth = X509_STORE_CTX_get_error_depth(verification);
    check->certificate = DerOf(X509_STORE_CTX_get0_cert(verification));
  }
  return good;
}

bool Holds(const STACK_OF(X509_NAME) * names, const X509_NAME* name) {
  for (int i = 0; i < sk_X509_NAME_num(names); ++i) {
    if (X509_NAME_cmp(sk_X509_NAME_value(names, i), name) == 0) return true;
  }
  return false;
}

absl::StatusOr<CertificatePtr> ParseAuthority(const base::Bytes& der, std::size_t number) {
  const unsigned char* at = der.data();
  CertificatePtr authority(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  const char* problem = nullptr;
  if (!authority || at != der.data() + der.size()) {
    problem = "is no certificate";
  } else if (X509_check_ca(authority.get()) == 0) {
    problem = "is not a CA's certificate";  // with partial chains a leaf would vouch for itself
  }
  ERR_clear_error();
  if (problem != nullptr)
    return absl::InvalidArgumentError(absl::StrCat("the door's client authority ", number + 1, " ", problem));
  return authority;
}

absl::Status RequireClients(SSL_CTX* native, const std::vector<base::Bytes>& authorities) {
  StorePtr store(X509_STORE_new());
  // TLS 1.0 demands the names; clients with several certificates choose by them.
  NamesPtr names(sk_X509_NAME_new_null());
  if (!store || !names) return absl::ResourceExhaustedError("no memory for the door's client authorities");
  for (std::size_t i = 0; i < authorities.size(); ++i) {
    ASSIGN_OR_RETURN(const CertificatePtr authority, ParseAuthority(authorities[i], i));
    const X509_NAME* subject = X509_get_subject_name(authority.get());
    bool added = X509_STORE_add_cert(store.get(), authority.get()) == 1;
    if (added && !Holds(names.get(), subject)) {
      X509_NAME* copy = X509_NAME_dup(subject);
      added = copy != nullptr && sk_X509_NAME_push(names.get(), copy) > 0;
      if (!added) X509_NAME_free(copy);
    }
    if (!added) return absl::ResourceExhaustedError("no memory for the door's client authorities");
  }
  // A store of its own: from the context's, OpenSSL would also complete the chain that the door sends.
  SSL_CTX_set0_verify_cert_store(native, store.release());
  SSL_CTX_set0_CA_list(native, names.release());
  X509_VERIFY_PARAM* param = SSL_CTX_get0_param(native);
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NoteFailure);
  // A resumed session would be one whose certificate was verified long ago, against other authorities.
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
  return absl::OkStatus();
}

const char* ReasonOf(const ClientCheck& check) {
  switch (check.error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:  // another CA of the same name
      return "CLIENT_CERTIFICATE_UNKNOWN_CA";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return check.depth == 0 ? "CLIENT_CERTIFICATE_EXPIRED" : "CLIENT_CA_EXPIRED";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "CLIENT_CERTIFICATE_NOT_YET_VALID";
    case X509_V_ERR_INVALID_PURPOSE:
      return "CLIENT_CERTIFICATE_PURPOSE";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return "CLIENT_CERTIFICATE_WEAK";
    default:
      return "CLIENT_CERTIFICATE_INVALID";
  }
}

bool Is(const Error& error, int reason) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) == reason;
}

}  // namespace

absl::StatusOr<std::shared_ptr<asio::ssl::context>> MakeServerTls(const TlsIdentity& identity) {
  auto tls = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* native = tls->native_handle();
  Error error;
  tls->use_certificate_chain(asio::buffer(identity.chain_pem), error);
  if (!error) {
    tls->use_private_key(asio::buffer(identity.key_pem.view().data(), identity.key_pem.size()),
                         asio::ssl::context::pem, error);
  }
  if (error)
    return absl::InvalidArgumentError(absl::StrCat("the door's certificate or key: ", error.message()));
  SSL_CTX_set_min_proto_version(native, identity.legacy ? TLS1_VERSION : TLS1_2_VERSION);
  if (identity.legacy) SSL_CTX_set_cipher_list(native, "DEFAULT:@SECLEVEL=0");
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  if (!identity.client_authorities.empty())
    RETURN_IF_ERROR(RequireClients(native, identity.client_authorities));
  return tls;
}

void ClientCheck::Watch(SSL* ssl) {
  SSL_set_app_data(ssl, this);
}

std::optional<Refusal> RefusalOf(const SSL* ssl, const ClientCheck& check, const Error& error) {
  if (ssl == nullptr || (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0) return std::nullopt;
  if (check.error != X509_V_OK) return Refusal{ReasonOf(check), X509_verify_cert_error_string(check.error)};
  if (Is(error, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE))
    return Refusal{"CLIENT_CERTIFICATE_MISSING", error.message()};
  if (Is(error, SSL_R_BAD_SIGNATURE)) return Refusal{"CLIENT_KEY_NOT_PROVEN", error.message()};
  if (error) return std::nullopt;
  if (SSL_get_verify_result(ssl) == X509_V_OK && SSL_get0_peer_certificate(ssl) != nullptr)
    return std::nullopt;
  return Refusal{"CLIENT_CERTIFICATE_INVALID", "handshake without a verified certificate"};
}

base::Bytes ClientCertificate(const SSL* ssl) {
  return DerOf(SSL_get0_peer_certificate(ssl));
}

}  // namespace phonepki::provisioning::phone
