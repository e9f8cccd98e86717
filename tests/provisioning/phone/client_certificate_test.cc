// Doors that ask their clients for certificates.
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/strings/match.h>
#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provisioning/phone/http_door.h"
#include "tests/provisioning/phone/door_client.h"
#include "tests/provisioning/phone/test_identity.h"
#include "tests/testing/status.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait.h"

namespace phonepki::provisioning::phone {
namespace {

using phonepki::testing::WaitUntil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
template <typename T>
using Ptr = std::unique_ptr<T, Free>;

// A certificate and its key: of a CA or of a phone.
struct Party {
  Ptr<X509> certificate;
  Ptr<EVP_PKEY> key;

  base::Bytes Der() const {
    base::Bytes der(static_cast<std::size_t>(i2d_X509(certificate.get(), nullptr)));
    unsigned char* at = der.data();
    i2d_X509(certificate.get(), &at);
    return der;
  }
};

struct Shape {
  bool ca = false;
  const char* usage = "clientAuth";  // null: no extended key usage
  long from = -3600, until = 3600;   // seconds from now
  int rsa_bits = 0;                  // 0: P-256
};

void Extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// `issuer` null: self-signed.
Party Make(const char* name, const Party* issuer, const Shape& shape) {
  static long serial = 0;
  Party party{Ptr<X509>(X509_new()),
              Ptr<EVP_PKEY>(shape.rsa_bits == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(shape.rsa_bits))};
  X509* certificate = party.certificate.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), shape.from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), shape.until);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_pubkey(certificate, party.key.get());
  X509* signer = issuer == nullptr ? certificate : issuer->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  Extend(certificate, signer, NID_basic_constraints, shape.ca ? "critical,CA:TRUE" : "CA:FALSE");
  Extend(certificate, signer, NID_subject_key_identifier, "hash");
  if (shape.usage != nullptr && !shape.ca) Extend(certificate, signer, NID_ext_key_usage, shape.usage);
  X509_sign(certificate, issuer == nullptr ? party.key.get() : issuer->key.get(), EVP_sha256());
  return party;
}

// The public key of one, the private key of the other: what somebody has who only saw a certificate.
Ptr<EVP_PKEY> Mismatched(const EVP_PKEY* public_half, const EVP_PKEY* private_half) {
  unsigned char point[200];
  std::size_t size = 0;
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_octet_string_param(public_half, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size),
            1);
  EXPECT_EQ(EVP_PKEY_get_bn_param(private_half, OSSL_PKEY_PARAM_PRIV_KEY, &number), 1);
  const Ptr<BIGNUM> secret(number);
  const Ptr<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point, size);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, secret.get());
  const Ptr<OSSL_PARAM> params(OSSL_PARAM_BLD_to_param(builder.get()));
  const Ptr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  EVP_PKEY_fromdata_init(context.get());
  EXPECT_EQ(EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()), 1);
  return Ptr<EVP_PKEY>(key);
}

class ClientCertificateTest : public ::testing::TestWithParam<int> {
 protected:
  ClientCertificateTest() {
    signal(SIGPIPE, SIG_IGN);
    options_.name = "secure";
    options_.address = "127.0.0.1";
    options_.path = kPath;
    options_.on_refused = [this](const RefusedClient& client) {
      absl::MutexLock lock(&mutex_);
      refused_.push_back(client);
    };
  }

  void Open(const TlsIdentity& tls) {
    auto door = HttpDoor::Open(io_, options_, &tls, pool_, [this](const HttpRequest& request) {
      absl::MutexLock lock(&mutex_);
      seen_ = request;
      HttpResponse response;
      response.body = base::Secret("welcome");
      return response;
    });
    ASSERT_OK(door);
    door_ = std::move(*door);
  }
  int port() const { return door_->port(); }
  static TlsIdentity Asking(std::vector<base::Bytes> authorities, bool legacy = false) {
    return {Identity(legacy).chain_pem, Identity(legacy).key_pem.Copy(), legacy, std::move(authorities)};
  }

  // What a client with this certificate gets for a request.
  std::string Ask(Client& client) {
    if (!client.StartTls(GetParam())) return "";
    client.Send(Request("a"));
    return client.Answer();
  }
  std::string AskAs(const Party& party, const std::vector<X509*>& more = {}) {
    Client client(port());
    client.Present(party.certificate.get(), party.key.get(), more);
    return Ask(client);
  }
  // Waits until `count` refusals have been reported.
  std::vector<RefusedClient> Refused(std::size_t count) {
    EXPECT_TRUE(WaitUntil([&] {
      absl::MutexLock lock(&mutex_);
      return refused_.size() >= count;
    }));
    absl::MutexLock lock(&mutex_);
    std::vector<RefusedClient> refused = refused_;
    if (refused.size() < count) refused.resize(count);
    return refused;
  }
  HttpRequest Seen() {
    absl::MutexLock lock(&mutex_);
    return seen_;
  }

  const Party root_ = Make("Root", nullptr, {.ca = true});
  const Party sub_ = Make("Sub", &root_, {.ca = true});
  const Party phone_ = Make("phone", &sub_, {});

  DoorOptions options_;
  absl::Mutex mutex_;
  std::vector<RefusedClient> refused_ ABSL_GUARDED_BY(mutex_);
  HttpRequest seen_ ABSL_GUARDED_BY(mutex_);
  // As in http_door_test.cc, the order in which they are needed.
  IoRuntime io_{2};
  base::ThreadPool pool_{4, 16};
  std::unique_ptr<HttpDoor> door_;
};

INSTANTIATE_TEST_SUITE_P(Versions, ClientCertificateTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& info) {
                           return std::string(info.param == TLS1_2_VERSION ? "Tls12" : "Tls13");
                         });

TEST_P(ClientCertificateTest, TheHandlerGetsTheClientsOwnCertificate) {
  Open(Asking({root_.Der()}));
  EXPECT_THAT(AskAs(phone_, {sub_.certificate.get()}), HasSubstr("welcome"));
  EXPECT_EQ(Seen().client_certificate, phone_.Der());
  EXPECT_EQ(Seen().remote_address, "127.0.0.1");
  EXPECT_EQ(door_->counters().handshake_failed, 0);
}

TEST_P(ClientCertificateTest, EveryRequestOfAConnectionCarriesIt) {
  Open(Asking({sub_.Der()}));
  Client client(port());
  client.Present(phone_.certificate.get(), phone_.key.get());
  ASSERT_TRUE(client.StartTls(GetParam()));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send(Request("a")));
    EXPECT_THAT(client.Answer(), HasSubstr("welcome"));
    EXPECT_EQ(Seen().client_certificate, phone_.Der());
    absl::MutexLock lock(&mutex_);
    seen_.client_certificate.clear();
  }
}

TEST_P(ClientCertificateTest, OtherDoorsNeitherAskNorTell) {
  Open(Asking({}));
  EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
  EXPECT_THAT(Seen().client_certificate, ::testing::IsEmpty());
}

TEST_P(ClientCertificateTest, WithoutACertificateNobodyGetsIn) {
  Open(Asking({sub_.Der()}));
  Client client(port(), "127.0.0.7");
  EXPECT_EQ(Ask(client), "");
  EXPECT_TRUE(client.AtEnd());
  const auto refused = Refused(1);
  EXPECT_EQ(refused[0].reason, "CLIENT_CERTIFICATE_MISSING");
  EXPECT_EQ(refused[0].address, "127.0.0.7");
  EXPECT_THAT(refused[0].certificate, ::testing::IsEmpty());
  EXPECT_EQ(door_->counters().handshake_failed, 1);
  EXPECT_EQ(door_->counters().requests, 0);
}

TEST_P(ClientCertificateTest, WhatDoesNotVerifyIsRefusedAndNamed) {
  Open(Asking(
      {root_.Der(), sub_.Der(), Make("Old", nullptr, {.ca = true, .from = -9000, .until = -60}).Der()}));
  const Party old_ca = Make("Old sub", &root_, {.ca = true, .from = -9000, .until = -60});
  const Party stranger = Make("Stranger", nullptr, {.ca = true});
  const Party namesake = Make("Sub", nullptr, {.ca = true});
  const struct {
    const char* what;
    const char* reason;
    Party party;
    std::vector<X509*> more;
  } kCases[] = {
      {"another CA",
       "CLIENT_CERTIFICATE_UNKNOWN_CA",
       Make("phone", &stranger, {}),
       {stranger.certificate.get()}},
      {"a CA of the same name", "CLIENT_CERTIFICATE_UNKNOWN_CA", Make("phone", &namesake, {}), {}},
      {"self-signed", "CLIENT_CERTIFICATE_UNKNOWN_CA", Make("phone", nullptr, {}), {}},
      {"signed by a phone",
       "CLIENT_CERTIFICATE_UNKNOWN_CA",
       Make("phone", &phone_, {}),
       {phone_.certificate.get()}},
      {"expired", "CLIENT_CERTIFICATE_EXPIRED", Make("phone", &sub_, {.from = -9000, .until = -60}), {}},
      {"its CA expired", "CLIENT_CA_EXPIRED", Make("phone", &old_ca, {}), {old_ca.certificate.get()}},
      {"not yet valid", "CLIENT_CERTIFICATE_NOT_YET_VALID", Make("phone", &sub_, {.from = 600}), {}},
      {"for servers", "CLIENT_CERTIFICATE_PURPOSE", Make("phone", &sub_, {.usage = "serverAuth"}), {}},
      {"a weak key", "CLIENT_CERTIFICATE_WEAK", Make("phone", &sub_, {.rsa_bits = 1024}), {}},
  };
  std::size_t count = 0;
  for (const auto& bad : kCases) {
    EXPECT_EQ(AskAs(bad.party, bad.more), "") << bad.what;
    const auto refused = Refused(++count);
    ASSERT_EQ(refused.size(), count) << bad.what;
    EXPECT_EQ(refused.back().reason, bad.reason) << bad.what;
    EXPECT_EQ(refused.back().certificate, bad.party.Der()) << bad.what;
  }
  EXPECT_EQ(door_->counters().handshake_failed, static_cast<std::int64_t>(count));
  EXPECT_EQ(door_->counters().requests, 0);
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().open == 0; }));
  EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
}

TEST_P(ClientCertificateTest, SomebodyElsesCertificateIsOfNoUse) {
  Open(Asking({sub_.Der()}));
  const Ptr<EVP_PKEY> own(EVP_EC_gen("P-256"));
  Client client(port());
  client.Present(phone_.certificate.get(), Mismatched(phone_.key.get(), own.get()).get());
  EXPECT_EQ(Ask(client), "");
  EXPECT_EQ(Refused(1)[0].reason, "CLIENT_KEY_NOT_PROVEN");
  EXPECT_EQ(door_->counters().requests, 0);
}

TEST_P(ClientCertificateTest, AnIntermediateAloneIsEnoughOfAnAnchor) {
  Open(Asking({sub_.Der()}));
  EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
  EXPECT_THAT(AskAs(phone_, {sub_.certificate.get()}), HasSubstr("welcome"));
  EXPECT_THAT(AskAs(phone_, {sub_.certificate.get(), root_.certificate.get()}), HasSubstr("welcome"));
  EXPECT_EQ(AskAs(Make("phone", &root_, {})), "") << "the root above it is no anchor";
}

TEST_P(ClientCertificateTest, ARootAloneNeedsTheIntermediateFromTheClient) {
  Open(Asking({root_.Der()}));
  EXPECT_EQ(AskAs(phone_), "");
  EXPECT_EQ(Refused(1)[0].reason, "CLIENT_CERTIFICATE_UNKNOWN_CA");
  EXPECT_THAT(AskAs(phone_, {sub_.certificate.get()}), HasSubstr("welcome"));
}

TEST_P(ClientCertificateTest, SeveralAuthoritiesAndTheSameTwice) {
  const Party other = Make("Other", nullptr, {.ca = true});
  Open(Asking({sub_.Der(), other.Der(), sub_.Der(), root_.Der()}));
  EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
  EXPECT_THAT(AskAs(Make("phone", &other, {.usage = nullptr})), HasSubstr("welcome"));
}

TEST_P(ClientCertificateTest, TheClientIsToldByAnAlert) {
  Open(Asking({sub_.Der()}));
  Client nothing(port());
  EXPECT_EQ(Ask(nothing), "");
  EXPECT_EQ(nothing.TlsError(), GetParam() == TLS1_3_VERSION ? SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED
                                                             : SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
  const Party expired = Make("phone", &sub_, {.from = -9000, .until = -60});
  Client late(port());
  late.Present(expired.certificate.get(), expired.key.get());
  EXPECT_EQ(Ask(late), "");
  EXPECT_EQ(late.TlsError(), SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
}

TEST_P(ClientCertificateTest, TheAlertArrivesThoughTheClientHasSentMore) {
  Open(Asking({sub_.Der()}));
  const Party expired = Make("phone", &sub_, {.from = -9000, .until = -60});
  for (int i = 0; i < 5; ++i) {
    Client client(port());
    client.Present(expired.certificate.get(), expired.key.get());
    if (client.StartTls(GetParam())) {
      client.Send(Request(std::string(10000, 'x')));
      EXPECT_TRUE(client.AtEnd());
    }
    EXPECT_EQ(client.TlsError(), SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
    EXPECT_FALSE(client.WasReset());
  }
}

TEST_P(ClientCertificateTest, SessionsAreNotResumed) {
  Open(Asking({sub_.Der()}));
  Client first(port());
  first.Present(phone_.certificate.get(), phone_.key.get());
  EXPECT_THAT(Ask(first), HasSubstr("welcome"));
  const Ptr<SSL_SESSION> session(SSL_get1_session(first.ssl()));
  EXPECT_EQ(SSL_SESSION_has_ticket(session.get()), 0);
  EXPECT_EQ(SSL_SESSION_is_resumable(session.get()), 0);
  Client second(port());
  second.Resume(session.get());
  EXPECT_EQ(Ask(second), "");
  EXPECT_EQ(Refused(1)[0].reason, "CLIENT_CERTIFICATE_MISSING");
}

TEST_P(ClientCertificateTest, OnlyTheChainGivenIsSent) {
  // The door's certificate is under the same root as the phones; its issuer is among the authorities.
  const Party server = Make("door", &sub_, {.usage = "serverAuth"});
  BIO* chain = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(chain, server.certificate.get());
  BIO* key = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key, server.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const auto chain_size = static_cast<std::size_t>(BIO_get_mem_data(chain, &text));
  TlsIdentity tls{std::string(text, chain_size), {}, false, {sub_.Der(), root_.Der()}};
  const auto key_size = static_cast<std::size_t>(BIO_get_mem_data(key, &text));
  tls.key_pem = base::Secret(std::string_view(text, key_size));
  BIO_free(chain);
  BIO_free(key);
  Open(tls);
  Client client(port());
  client.Present(phone_.certificate.get(), phone_.key.get());
  EXPECT_THAT(Ask(client), HasSubstr("welcome"));
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(client.ssl())), 1);
}

// Changes while the door is open

TEST_P(ClientCertificateTest, NewConnectionsUseTheNewIdentityAndOpenOnesKeepTheirs) {
  const auto certificate_seen = [](Client& client) {
    const Ptr<X509> certificate(SSL_get1_peer_certificate(client.ssl()));
    return Party{Ptr<X509>(X509_dup(certificate.get())), nullptr}.Der();
  };
  const Party other_ca = Make("Other", nullptr, {.ca = true});
  const Party other_phone = Make("other phone", &other_ca, {});
  Open(Asking({sub_.Der()}));
  Client standing(port());
  standing.Present(phone_.certificate.get(), phone_.key.get());
  EXPECT_THAT(Ask(standing), HasSubstr("welcome"));

  TlsIdentity next = Asking({other_ca.Der()});
  next.chain_pem = Identity(true).chain_pem;
  next.key_pem = Identity(true).key_pem.Copy();
  ASSERT_OK(door_->SetTls(next));
  ASSERT_TRUE(standing.Send(Request("b")));
  EXPECT_THAT(standing.Answer(), HasSubstr("welcome"));
  EXPECT_EQ(Seen().client_certificate, phone_.Der());
  Client later(port());
  later.Present(other_phone.certificate.get(), other_phone.key.get());
  EXPECT_THAT(Ask(later), HasSubstr("welcome"));
  EXPECT_EQ(Seen().client_certificate, other_phone.Der());
  EXPECT_NE(certificate_seen(later), certificate_seen(standing));
  EXPECT_EQ(AskAs(phone_), "");

  // And back, to both at once.
  ASSERT_OK(door_->SetTls(Asking({sub_.Der(), other_ca.Der()})));
  EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
  Client last(port());
  last.Present(other_phone.certificate.get(), other_phone.key.get());
  EXPECT_THAT(Ask(last), HasSubstr("welcome"));
  EXPECT_EQ(certificate_seen(last), certificate_seen(standing));
}

TEST_P(ClientCertificateTest, AnIdentityThatDoesNotFitChangesNothing) {
  Open(Asking({sub_.Der()}));
  EXPECT_CODE(door_->SetTls(TlsIdentity{"", base::Secret()}), kInvalidArgument);
  EXPECT_CODE(door_->SetTls(Asking({{}})), kInvalidArgument) << "an empty authority";
  base::Bytes longer = sub_.Der();
  longer.push_back(0);
  EXPECT_CODE(door_->SetTls(Asking({sub_.Der(), longer})), kInvalidArgument) << "octets behind it";
  EXPECT_CODE(door_->SetTls(Asking({phone_.Der()})), kInvalidArgument) << "a phone's certificate";
  EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
  Client nothing(port());
  EXPECT_EQ(Ask(nothing), "");
}

TEST_P(ClientCertificateTest, ChangesUnderLoadLoseNobody) {
  Open(Asking({sub_.Der()}));
  std::atomic<bool> stop{false};
  std::thread changes([&] {
    while (!stop) EXPECT_OK(door_->SetTls(Asking({sub_.Der(), root_.Der()})));
  });
  for (int i = 0; i < 50; ++i) EXPECT_THAT(AskAs(phone_), HasSubstr("welcome"));
  stop = true;
  changes.join();
}

// Reports

TEST_P(ClientCertificateTest, AFloodOfRefusalsLeavesRoomInThePool) {
  absl::Notification go;
  std::atomic<int> reported{0};
  options_.max_connections_per_address = 0;
  options_.on_refused = [&](const RefusedClient&) {
    go.WaitForNotification();
    ++reported;
  };
  base::ThreadPool roomy(20, 100);
  const TlsIdentity tls = Asking({sub_.Der()});
  auto door = HttpDoor::Open(io_, options_, &tls, roomy, [](const HttpRequest&) { return HttpResponse(); });
  ASSERT_OK(door);
  door_ = std::move(*door);
  for (int i = 0; i < 30; ++i) {
    Client client(port());
    EXPECT_EQ(Ask(client), "");
  }
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().handshake_failed == 30; }));
  EXPECT_THAT(AskAs(phone_), HasSubstr("200 OK"));
  go.Notify();
  door_->Close(absl::Seconds(20));
  EXPECT_EQ(reported, 16);
  door_.reset();
}

TEST_P(ClientCertificateTest, NobodyNeedListen) {
  options_.on_refused = nullptr;
  Open(Asking({sub_.Der()}));
  Client client(port());
  EXPECT_EQ(Ask(client), "");
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().handshake_failed == 1; }));
}

TEST_P(ClientCertificateTest, FailuresOfAnotherKindAreNotReported) {
  Open(Asking({sub_.Der()}));
  Client noise(port()), old(port());
  ASSERT_TRUE(noise.Send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(noise.AtEnd());
  EXPECT_FALSE(old.StartTls(TLS1_1_VERSION));
  { Client leaves(port()); }
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().handshake_failed == 3; }));
  Client nothing(port());
  EXPECT_EQ(Ask(nothing), "");
  EXPECT_EQ(Refused(1).size(), 1u);
}

// Old firmware, and clients by other makers

using OtherClientsTest = ClientCertificateTest;
INSTANTIATE_TEST_SUITE_P(Old, OtherClientsTest, ::testing::Values(TLS1_VERSION));

TEST_P(OtherClientsTest, ALegacyDoorTakesOldTlsAndShortKeys) {
  Open(Asking({sub_.Der()}, true));
  EXPECT_THAT(AskAs(Make("phone", &sub_, {.rsa_bits = 1024})), HasSubstr("welcome"));
  Client nothing(port());
  EXPECT_EQ(Ask(nothing), "");
  EXPECT_EQ(Refused(1)[0].reason, "CLIENT_CERTIFICATE_MISSING");
}

class Files {
 public:
  explicit Files(const Party& party) {
    FILE* file = fopen(certificate().c_str(), "w");
    PEM_write_X509(file, party.certificate.get());
    fclose(file);
    file = fopen(key().c_str(), "w");
    PEM_write_PrivateKey(file, party.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    fclose(file);
    std::ofstream(request()) << Request("a", "Connection: close\r\n");
  }
  std::string certificate() const { return dir_.path() + "/certificate.pem"; }
  std::string key() const { return dir_.path() + "/key.pem"; }
  std::string request() const { return dir_.path() + "/request"; }

 private:
  phonepki::testing::TempDir dir_;
};

std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output.push_back(static_cast<char>(c));
  pclose(pipe);
  return output;
}

TEST_P(OtherClientsTest, OpensslsProgram) {
  Open(Asking({sub_.Der()}));
  const Files good(phone_), bad(Make("phone", &sub_, {.from = -9000, .until = -60}));
  const auto run = [&](const Files& files, const std::string& options) {
    return OutputOf(absl::StrCat("timeout 20 openssl s_client -ign_eof -connect 127.0.0.1:", port(), " ",
                                 options, " < ", files.request()));
  };
  const auto as = [](const Files& files) {
    return absl::StrCat("-cert ", files.certificate(), " -key ", files.key());
  };
  const std::string welcome = run(good, as(good));
  EXPECT_THAT(welcome, HasSubstr("welcome"));
  EXPECT_THAT(welcome, HasSubstr("CN = Sub")) << "the authorities that the door names";
  EXPECT_THAT(run(good, as(good) + " -tls1_2"), HasSubstr("welcome"));
  EXPECT_THAT(run(good, ""), HasSubstr("alert certificate required"));
  EXPECT_THAT(run(bad, as(bad)), HasSubstr("alert certificate expired"));
  EXPECT_THAT(run(bad, as(bad) + " -tls1_2"), HasSubstr("alert certificate expired"));
}

TEST_P(OtherClientsTest, GnuTls) {
  Open(Asking({sub_.Der()}));
  const Files good(phone_), bad(Make("phone", &sub_, {.from = -9000, .until = -60}));
  const auto run = [&](const Files& files, const std::string& options) {
    return OutputOf(absl::StrCat("timeout 20 gnutls-cli --no-ca-verification -p ", port(), " ", options,
                                 " 127.0.0.1 < ", files.request()));
  };
  const auto as = [](const Files& files) {
    return absl::StrCat("--x509certfile ", files.certificate(), " --x509keyfile ", files.key());
  };
  EXPECT_THAT(run(good, as(good)), HasSubstr("welcome"));
  EXPECT_THAT(run(good, as(good) + " --priority NORMAL:-VERS-TLS1.3"), HasSubstr("welcome"));
  EXPECT_THAT(run(good, ""), HasSubstr("Certificate is required"));
  const std::string expired = run(bad, as(bad));
  EXPECT_THAT(expired, HasSubstr("Certificate is expired"));
  EXPECT_THAT(expired, Not(HasSubstr("welcome")));
}

}  // namespace
}  // namespace phonepki::provisioning::phone
