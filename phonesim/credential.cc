#include "phonesim/credential.h"

#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <boost/asio/ssl/context.hpp>

namespace phonesim {
namespace {

std::string Hex(const unsigned char* data, std::size_t size) {
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[data[i] >> 4];
    text += digits[data[i] & 15];
  }
  return text;
}

std::string Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, size);
  BIO_free(bio);
  return text;
}

std::string NameText(const X509_NAME* name) {
  BIO* bio = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE);
  return Drain(bio);
}

std::string TimeText(const ASN1_TIME* time) {
  BIO* bio = BIO_new(BIO_s_mem());
  ASN1_TIME_print_ex(bio, time, ASN1_DTFLGS_ISO8601);
  return Drain(bio);
}

CertificateFacts FactsOf(X509* certificate) {
  CertificateFacts facts;
  BIGNUM* serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  unsigned char octets[64];
  facts.serial = Hex(octets, BN_bn2bin(serial, octets));
  BN_free(serial);
  unsigned int size = 0;
  X509_digest(certificate, EVP_sha256(), octets, &size);
  facts.sha256 = Hex(octets, size);
  facts.subject = NameText(X509_get_subject_name(certificate));
  facts.issuer = NameText(X509_get_issuer_name(certificate));
  facts.not_before = TimeText(X509_get0_notBefore(certificate));
  facts.not_after = TimeText(X509_get0_notAfter(certificate));
  return facts;
}

std::optional<Credential> Make(X509* leaf, EVP_PKEY* key, STACK_OF(X509) * chain) {
  auto tls = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
  SSL_CTX* native = tls->native_handle();
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_use_certificate(native, leaf) != 1 || SSL_CTX_use_PrivateKey(native, key) != 1 ||
      SSL_CTX_check_private_key(native) != 1) {
    return std::nullopt;
  }
  for (int i = 0; i < sk_X509_num(chain); ++i) SSL_CTX_add1_chain_cert(native, sk_X509_value(chain, i));
  Credential credential{FactsOf(leaf), std::move(tls), "", ""};
  BIO* pem = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(pem, leaf);
  for (int i = 0; i < sk_X509_num(chain); ++i) PEM_write_bio_X509(pem, sk_X509_value(chain, i));
  credential.certificate_pem = Drain(pem);
  pem = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(pem, key, nullptr, nullptr, 0, nullptr, nullptr);
  credential.key_pem = Drain(pem);
  return credential;
}

}  // namespace

Credential MakeFactoryDefault() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600L * 24 * 365 * 5);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("factory default"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  Credential credential = *Make(certificate, key, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return credential;
}

std::optional<Credential> OpenPkcs12(const std::string& der, const std::string& passphrase) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  PKCS12* file = d2i_PKCS12(nullptr, &at, static_cast<long>(der.size()));
  if (file == nullptr) return std::nullopt;
  EVP_PKEY* key = nullptr;
  X509* leaf = nullptr;
  STACK_OF(X509)* chain = nullptr;
  const bool opened =
      PKCS12_parse(file, passphrase.c_str(), &key, &leaf, &chain) == 1 && key != nullptr && leaf != nullptr;
  std::optional<Credential> credential;
  if (opened) credential = Make(leaf, key, chain);
  sk_X509_pop_free(chain, X509_free);
  X509_free(leaf);
  EVP_PKEY_free(key);
  PKCS12_free(file);
  return credential;
}

std::optional<Credential> FromPem(const std::string& certificate_pem, const std::string& key_pem) {
  BIO* bio = BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size()));
  X509* leaf = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  STACK_OF(X509)* chain = sk_X509_new_null();
  while (X509* parent = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) sk_X509_push(chain, parent);
  BIO_free(bio);
  bio = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  std::optional<Credential> credential;
  if (leaf != nullptr && key != nullptr) credential = Make(leaf, key, chain);
  sk_X509_pop_free(chain, X509_free);
  X509_free(leaf);
  EVP_PKEY_free(key);
  return credential;
}

std::optional<Credential> OpenEither(const std::string& text, const std::string& passphrase) {
  if (text.find("-----BEGIN") != std::string::npos) return FromPem(text, text);
  return OpenPkcs12(DecodeBase64(text), passphrase);
}

std::vector<CertificateFacts> ReadCertificates(const std::string& pem) {
  std::vector<CertificateFacts> found;
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) {
    found.push_back(FactsOf(certificate));
    X509_free(certificate);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  BIO_free(bio);
  if (!at_end) found.clear();
  return found;
}

std::string InfoText(const CertificateFacts& certificate) {
  return "Subject: " + certificate.subject + "\nIssuer: " + certificate.issuer +
         "\nSerial: " + certificate.serial + "\nValid from: " + certificate.not_before +
         "\nValid to: " + certificate.not_after + "\nSHA256 Fingerprint: " + certificate.sha256;
}

std::string DecodeBase64(const std::string& text) {
  std::string clean;
  for (char c : text) {
    if (c != '\r' && c != '\n' && c != ' ') clean += c;
  }
  std::string out(clean.size() / 4 * 3 + 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(clean.data()), static_cast<int>(clean.size()));
  if (size < 0) return "";
  int padding = 0;
  while (padding < 2 && padding < static_cast<int>(clean.size()) && clean[clean.size() - 1 - padding] == '=')
    ++padding;
  out.resize(size - padding);
  return out;
}

}  // namespace phonesim
