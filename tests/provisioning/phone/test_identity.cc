#include "tests/provisioning/phone/test_identity.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace phonepki::provisioning::phone {
namespace {

std::string PemOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

}  // namespace

const TlsIdentity& Identity(bool legacy) {
  const auto make = [](bool for_legacy) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    BIO* chain = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(chain, certificate);
    BIO* secret = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(secret, key, nullptr, nullptr, 0, nullptr, nullptr);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return new TlsIdentity{PemOf(chain), base::Secret(PemOf(secret)), for_legacy};
  };
  static const TlsIdentity& modern = *make(false);
  static const TlsIdentity& old = *make(true);
  return legacy ? old : modern;
}

}  // namespace phonepki::provisioning::phone
