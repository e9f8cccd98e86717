// The floor: CPU time of the raw OpenSSL and PostgreSQL calls that one phone's new WBM certificate cannot do
// without, called directly, with nothing of phonepki around them. bench/run prints the server's own figures
// beside their sum.
//
//   primitives DATABASE_URL     makes and drops the schema "floor" there; prints one JSON line
#include <libpq-fe.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

[[noreturn]] void Die(const std::string& what) {
  std::cerr << "primitives: " << what << "\n";
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

void Must(bool ok, const char* what) {
  if (!ok) Die(what);
}

double ThreadCpuMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

double CpuMsEach(int times, const std::function<void()>& call) {
  call();
  const double start = ThreadCpuMs();
  for (int i = 0; i < times; ++i) call();
  return (ThreadCpuMs() - start) / times;
}

// ---- OpenSSL

EVP_PKEY* NewKey() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  Must(key != nullptr, "EVP_EC_gen");
  return key;
}

X509* NewCertificate(EVP_PKEY* subject, EVP_PKEY* issuer) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  unsigned char serial[20];
  RAND_bytes(serial, sizeof serial);
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  X509_NAME* name = X509_get_subject_name(certificate);
  for (const auto& [type, value] :
       {std::pair("C", "DE"), std::pair("O", "Example"), std::pair("CN", "phone")}) {
    X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value), -1,
                               -1, 0);
  }
  X509_set_issuer_name(certificate, name);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400 * 365);
  X509_set_pubkey(certificate, subject);
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  for (const auto& [nid, value] :
       {std::pair(NID_basic_constraints, "critical,CA:FALSE"), std::pair(NID_key_usage, "digitalSignature"),
        std::pair(NID_ext_key_usage, "serverAuth"), std::pair(NID_subject_key_identifier, "hash"),
        std::pair(NID_subject_alt_name, "IP:127.1.0.1")}) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    Must(extension != nullptr, "X509V3_EXT_conf_nid");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  Must(X509_sign(certificate, issuer, EVP_sha256()) > 0, "X509_sign");
  return certificate;
}

void WrapKey(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key);
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
  unsigned char secret[32] = {1}, nonce[12] = {2}, tag[16];
  std::vector<unsigned char> out(static_cast<std::size_t>(size) + 16);
  EVP_CIPHER_CTX* cipher = EVP_CIPHER_CTX_new();
  int length = 0;
  Must(EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), nullptr, secret, nonce) == 1, "AES-GCM");
  EVP_EncryptUpdate(cipher, out.data(), &length, der, size);
  EVP_EncryptFinal_ex(cipher, out.data() + length, &length);
  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag);
  EVP_CIPHER_CTX_free(cipher);
  OPENSSL_clear_free(der, static_cast<std::size_t>(size));
  PKCS8_PRIV_KEY_INFO_free(info);
}

// 3DES and SHA-1: what every firmware reads, and the server's default.
void MakePkcs12(EVP_PKEY* key, X509* certificate) {
  PKCS12* p12 = PKCS12_create("", nullptr, key, certificate, nullptr, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                              NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 1, -1, 0);
  Must(p12 != nullptr, "PKCS12_create");
  Must(PKCS12_set_mac(p12, "", -1, nullptr, 0, 1, EVP_sha1()) == 1, "PKCS12_set_mac");
  unsigned char* der = nullptr;
  i2d_PKCS12(p12, &der);
  OPENSSL_free(der);
  PKCS12_free(p12);
}

int Listen(sockaddr_in* address) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  address->sin_family = AF_INET;
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof *address;
  Must(bind(listener, reinterpret_cast<sockaddr*>(address), size) == 0 && listen(listener, 64) == 0 &&
           getsockname(listener, reinterpret_cast<sockaddr*>(address), &size) == 0,
       "listen");
  return listener;
}

struct TlsCost {
  double server_ms = 0, client_ms = 0;
};

// `posts` messages of 700 octets up and down (one of 4 kB down, the PKCS#12) over real loopback sockets, each
// side's own CPU time.
TlsCost MeasureTls(EVP_PKEY* key, X509* certificate, int connections, int posts) {
  SSL_CTX* server = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate(server, certificate);
  SSL_CTX_use_PrivateKey(server, key);
  SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(server, 0);
  SSL_CTX* client = SSL_CTX_new(TLS_client_method());
  sockaddr_in address{};
  const int listener = Listen(&address);
  TlsCost cost;
  std::thread peer([&] {
    const std::string request(700, 'x');
    std::vector<char> answer(5000);
    const double start = ThreadCpuMs();
    for (int i = 0; i < connections; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      Must(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "connect");
      int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      SSL* ssl = SSL_new(client);
      SSL_set_fd(ssl, fd);
      Must(SSL_connect(ssl) == 1, "SSL_connect");
      for (int post = 0; post < posts; ++post) {
        SSL_write(ssl, request.data(), static_cast<int>(request.size()));
        Must(SSL_read(ssl, answer.data(), static_cast<int>(answer.size())) > 0, "SSL_read");
      }
      SSL_shutdown(ssl);
      SSL_free(ssl);
      close(fd);
    }
    cost.client_ms = (ThreadCpuMs() - start) / connections;
  });
  const std::string small(700, 'y'), large(4000, 'z');
  std::vector<char> request(5000);
  const double start = ThreadCpuMs();
  for (int i = 0; i < connections; ++i) {
    const int fd = accept(listener, nullptr, nullptr);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL* ssl = SSL_new(server);
    SSL_set_fd(ssl, fd);
    Must(SSL_accept(ssl) == 1, "SSL_accept");
    for (int post = 0; SSL_read(ssl, request.data(), static_cast<int>(request.size())) > 0; ++post) {
      const std::string& answer = post == 0 ? large : small;
      SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
  }
  cost.server_ms = (ThreadCpuMs() - start) / connections;
  peer.join();
  close(listener);
  SSL_CTX_free(server);
  SSL_CTX_free(client);
  return cost;
}

// ---- PostgreSQL

class Postgres {
 public:
  explicit Postgres(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    Must(PQstatus(connection_) == CONNECTION_OK, PQerrorMessage(connection_));
  }
  ~Postgres() { PQfinish(connection_); }
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  void Run(const std::string& sql) { Check(PQexec(connection_, sql.c_str())); }
  // CPU of the backend and of this thread; both are part of what the server spends.
  double CpuMsEach(int times, const std::string& sql) {
    Check(PQprepare(connection_, sql.c_str(), sql.c_str(), 1, nullptr));
    int next = 0;
    const auto call = [&] {
      const std::string number = std::to_string(++next);
      const char* values[] = {number.c_str()};
      Check(PQexecPrepared(connection_, sql.c_str(), 1, values, nullptr, nullptr, 0));
    };
    call();
    const double own = ThreadCpuMs(), backend = BackendCpuMs();
    for (int i = 0; i < times; ++i) call();
    return (ThreadCpuMs() - own + BackendCpuMs() - backend) / times;
  }

 private:
  void Check(PGresult* result) {
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) Die(PQerrorMessage(connection_));
    PQclear(result);
  }
  double BackendCpuMs() const {
    std::ifstream file("/proc/" + std::to_string(PQbackendPID(connection_)) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) * 1000 / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

  PGconn* connection_;
};

constexpr int kSet = 50;  // what the server works off at once

nlohmann::ordered_json MeasurePostgres(const std::string& url) {
  Postgres database(url);
  database.Run("SET client_min_messages TO warning; CREATE SCHEMA floor; SET search_path TO floor, public;");
  database.Run(
      "CREATE TABLE session (id bigint PRIMARY KEY, step text, expires_at timestamptz);"
      "INSERT INTO session SELECT i, 'new', now() FROM generate_series(1, 20000) i;"
      "CREATE TABLE certificate (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, serial bytea UNIQUE, "
      "der bytea,"
      " device_id bigint);"
      "CREATE INDEX ON certificate (device_id);"
      "CREATE TABLE job (id bigint PRIMARY KEY, state text, reason text, run_at timestamptz);"
      "INSERT INTO job SELECT i, 'scheduled', '', now() FROM generate_series(1, 20000) i;"
      "CREATE INDEX ON job (run_at);"
      "CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job_id bigint, state text,"
      " at timestamptz DEFAULT now());"
      "CREATE INDEX ON event (job_id); ANALYZE;");
  nlohmann::ordered_json out;
  out["durable single-row update"] = database.CpuMsEach(
      3000, "UPDATE session SET step = 'next', expires_at = now() WHERE id = $1::bigint % 20000 + 1");
  out["certificate row, in sets"] =
      database.CpuMsEach(
          300,
          "INSERT INTO certificate (serial, der, device_id) SELECT decode(md5(i::text || '-' || $1), 'hex'),"
          " repeat('x', 900)::bytea, i FROM generate_series(1, 50) i") /
      kSet;
  out["state change with its history row, in sets"] =
      database.CpuMsEach(
          300,
          "WITH changed AS (UPDATE job SET state = 'next', run_at = now() WHERE id IN (SELECT i FROM"
          " generate_series(($1::bigint * 50) % 19900, ($1::bigint * 50) % 19900 + 49) i) RETURNING id, "
          "state)"
          " INSERT INTO event (job_id, state) SELECT id, state FROM changed") /
      kSet;
  database.Run("DROP SCHEMA floor CASCADE");
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) Die("give a database URL");
  EVP_PKEY* issuer = NewKey();
  EVP_PKEY* key = NewKey();
  X509* certificate = NewCertificate(key, issuer);
  nlohmann::ordered_json out;
  out["key pair, P-256"] = CpuMsEach(2000, [] { EVP_PKEY_free(NewKey()); });
  out["certificate, five extensions, signed"] =
      CpuMsEach(1000, [&] { X509_free(NewCertificate(key, issuer)); });
  out["PKCS#8 encoding and AES-256-GCM"] = CpuMsEach(2000, [&] { WrapKey(key); });
  out["PKCS#12, 3DES and SHA-1, no pass phrase"] = CpuMsEach(500, [&] { MakePkcs12(key, certificate); });
  const TlsCost session = MeasureTls(key, certificate, 1000, 4);
  out["TLS session of the phone, server side, four messages"] = session.server_ms;
  const TlsCost probe = MeasureTls(key, certificate, 1000, 0);
  out["TLS probe of the phone, client side"] = probe.client_ms;
  out.update(MeasurePostgres(argv[1]));
  std::cout << out.dump() << "\n";
  return 0;
}
