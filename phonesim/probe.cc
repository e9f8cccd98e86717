#include "phonesim/probe.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <boost/asio/ip/tcp.hpp>
#include <nlohmann/json.hpp>

#include "phonesim/addresses.h"

namespace phonesim {
namespace {

struct Finding {
  std::string ip, serial, problem;
};

std::string SerialOf(X509* certificate) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  char* text = BN_bn2hex(number);
  std::string serial = text;
  for (char& c : serial) c = static_cast<char>(std::tolower(c));
  OPENSSL_free(text);
  BN_free(number);
  return serial;
}

// Empty when the certificate is good for a web server at this address.
std::string Judge(SSL* ssl, X509* leaf, const std::string& ip) {
  if (const long verified = SSL_get_verify_result(ssl); verified != X509_V_OK) {
    return X509_verify_cert_error_string(verified);
  }
  if (X509_check_ip_asc(leaf, ip.c_str(), 0) != 1) return "the address is not among its names";
  if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1) return "not meant for a TLS server";
  return "";
}

Finding ProbeOne(SSL_CTX* context, const std::string& ip, int port) {
  Finding finding{ip, "", ""};
  const boost::asio::ip::tcp::endpoint endpoint(boost::asio::ip::make_address(ip),
                                                static_cast<unsigned short>(port));
  const int fd = socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval limit{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (connect(fd, endpoint.data(), endpoint.size()) != 0) {
    finding.problem = "cannot connect";
  } else if (SSL_connect(ssl) != 1) {
    finding.problem = "TLS handshake failed";
  } else {
    X509* leaf = SSL_get0_peer_certificate(ssl);
    finding.serial = SerialOf(leaf);
    finding.problem = Judge(ssl, leaf, ip);
  }
  SSL_free(ssl);
  close(fd);
  return finding;
}

std::map<std::string, std::string> ReadSerials(const std::string& path) {
  std::map<std::string, std::string> serials;
  std::ifstream file(path);
  std::string ip, serial;
  while (file >> ip >> serial) serials[ip] = serial;
  return serials;
}

}  // namespace

int RunProbe(const ProbeOptions& options) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);  // judged afterwards, so that the finding has words
  if (SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1) {
    std::cerr << "phonesim: cannot read CA certificates from " << options.ca_file << "\n";
    return 2;
  }
  const std::map<std::string, std::string> former = ReadSerials(options.not_serials);
  std::vector<Finding> findings(options.phones);
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < options.phones; i = next++) {
        findings[i] = ProbeOne(context, AddressOf(options.first_address, i), options.web_port);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  SSL_CTX_free(context);
  std::set<std::string> serials;
  int good = 0;
  for (Finding& finding : findings) {
    if (finding.problem.empty() && !serials.insert(finding.serial).second)
      finding.problem = "serial number seen twice";
    const auto before = former.find(finding.ip);
    if (finding.problem.empty() && before != former.end() && before->second == finding.serial) {
      finding.problem = "still the certificate of the run before";
    }
    good += finding.problem.empty();
  }
  if (!options.serials_out.empty()) {
    std::ofstream out(options.serials_out);
    for (const Finding& finding : findings) out << finding.ip << ' ' << finding.serial << '\n';
  }
  if (options.json) {
    nlohmann::ordered_json report{
        {"phones", options.phones}, {"good", good}, {"failures", nlohmann::ordered_json::array()}};
    for (const Finding& finding : findings) {
      if (!finding.problem.empty())
        report["failures"].push_back({{"ip", finding.ip}, {"problem", finding.problem}});
    }
    std::cout << report.dump() << std::endl;
  } else {
    for (const Finding& finding : findings) {
      if (!finding.problem.empty()) std::cout << finding.ip << ": " << finding.problem << "\n";
    }
    std::cout << good << "/" << options.phones << " phones serve a certificate of the CA\n";
  }
  return good == options.phones ? 0 : 1;
}

}  // namespace phonesim
