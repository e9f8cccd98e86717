#include "ca/x509/certificate_file.h"

#include <algorithm>
#include <set>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_order.h"
#include "ca/x509/openssl_ptr.h"
#include "ca/x509/password_based.h"
#include "ca/x509/pkcs12.h"
#include "ca/x509/utf8.h"

namespace phonepki::ca {
namespace {

using BioPtr = OpenSslPtr<BIO, BIO_free_all>;
using Pkcs7Ptr = OpenSslPtr<PKCS7, PKCS7_free>;
using X509SigPtr = OpenSslPtr<X509_SIG, X509_SIG_free>;
using X509ReqPtr = OpenSslPtr<X509_REQ, X509_REQ_free>;
using X509CrlPtr = OpenSslPtr<X509_CRL, X509_CRL_free>;

// Real keys take at most 2.4 kB; in larger ones hide numbers that keep a processor busy.
constexpr std::size_t kMaxKeySize = 4096;
constexpr std::size_t kMaxPemKeys = 16;

absl::Status Refused(const std::string& reason, const std::string& what) {
  ERR_clear_error();
  return base::InvalidField("file", reason, what);
}

absl::Status NotOpened(const base::Secret& passphrase, const std::string& what) {
  ERR_clear_error();
  if (passphrase.empty()) {
    return base::InvalidField("passphrase", "PASSPHRASE_NEEDED",
                              absl::StrCat(what, " is encrypted: give the pass phrase it was saved with"));
  }
  return base::InvalidField(
      "passphrase", "WRONG_PASSPHRASE",
      absl::StrCat("the pass phrase does not open ", what, "; mind upper and lower case and the keyboard"));
}

// What was found so far.
struct Heap {
  std::vector<base::Secret> keys;  // PKCS#8, PKCS#1 or SEC 1
  std::vector<base::Bytes> certificates;
  std::set<std::string> formats;
  std::set<std::string> labels;  // of PEM blocks that are of no use here
};

absl::Status AddCertificate(base::Bytes der, Heap* heap) {
  if (heap->certificates.size() >= 2 * kMaxFileCertificates) {  // repetitions are not told apart yet
    return Refused("TOO_MANY_CERTIFICATES",
                   absl::StrCat("there are more than ", kMaxFileCertificates, " certificates in the file"));
  }
  heap->certificates.push_back(std::move(der));
  return absl::OkStatus();
}

// One or several certificates, one after the other.
absl::Status AddCertificates(const std::uint8_t* data, std::size_t size, Heap* heap) {
  const unsigned char* next = data;
  const unsigned char* const end = data + size;
  while (next < end) {
    const unsigned char* const start = next;
    const X509Ptr certificate(d2i_X509(nullptr, &next, static_cast<long>(end - start)));
    if (certificate == nullptr) {
      return Refused("CERTIFICATE_MALFORMED",
                     absl::StrCat("certificate ", heap->certificates.size() + 1,
                                  " of the file cannot be read; export it again"));
    }
    RETURN_IF_ERROR(AddCertificate(base::Bytes(start, next), heap));
  }
  return absl::OkStatus();
}

absl::Status AddPkcs7(const std::uint8_t* data, std::size_t size, Heap* heap) {
  const unsigned char* next = data;
  const Pkcs7Ptr message(d2i_PKCS7(nullptr, &next, static_cast<long>(size)));
  if (message == nullptr) return Refused("NOT_A_CERTIFICATE_FILE", "the PKCS#7 message cannot be read");
  if (!PKCS7_type_is_signed(message.get()) || message->d.sign == nullptr) {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the PKCS#7 message is not of the kind that holds certificates");
  }
  heap->formats.insert("pkcs7");
  const STACK_OF(X509)* const certificates = message->d.sign->cert;
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    unsigned char* encoded = nullptr;
    const int length = i2d_X509(sk_X509_value(certificates, i), &encoded);
    if (length <= 0)
      return Refused("CERTIFICATE_MALFORMED", "a certificate in the PKCS#7 message cannot be read");
    base::Bytes der(encoded, encoded + length);
    OPENSSL_free(encoded);
    RETURN_IF_ERROR(AddCertificate(std::move(der), heap));
  }
  return absl::OkStatus();
}

absl::Status AddPkcs12(std::string_view der, const base::Secret& passphrase, Heap* heap) {
  auto bags = OpenPkcs12(der, passphrase);
  if (!bags.ok()) {
    const std::string reason = base::ReasonOf(bags.status());
    const std::string text(bags.status().message());
    if (reason == "WRONG_PASSPHRASE") return NotOpened(passphrase, "the PKCS#12 file");
    if (reason == "PASSPHRASE_INVALID") return base::InvalidField("passphrase", reason, text);
    return Refused(reason == "NOT_PKCS12" ? "NOT_A_CERTIFICATE_FILE" : reason, text);
  }
  heap->formats.insert("pkcs12");
  for (base::Secret& key : bags->keys) heap->keys.push_back(std::move(key));
  for (base::Bytes& certificate : bags->certificates)
    RETURN_IF_ERROR(AddCertificate(std::move(certificate), heap));
  return absl::OkStatus();
}

// "ENCRYPTED PRIVATE KEY".
absl::StatusOr<base::Secret> DecryptPkcs8(const base::Secret& der, const base::Secret& passphrase,
                                          DerivationBudget* budget) {
  const LegacyScope legacy;
  const unsigned char* next = der.data();
  const X509SigPtr encrypted(d2i_X509_SIG(nullptr, &next, static_cast<long>(der.size())));
  if (encrypted == nullptr) return Refused("KEY_MALFORMED", "the encrypted private key cannot be read");
  const X509_ALGOR* algorithm = nullptr;
  X509_SIG_get0(encrypted.get(), &algorithm, nullptr);
  if (!budget->Spend(algorithm)) {
    return Refused("KEY_MALFORMED", "the private key asks for more key derivation than is reasonable");
  }
  const Pkcs8Ptr info(
      PKCS8_decrypt(encrypted.get(), passphrase.view().data(), static_cast<int>(passphrase.size())));
  unsigned char* encoded = nullptr;
  const int size = info == nullptr ? 0 : i2d_PKCS8_PRIV_KEY_INFO(info.get(), &encoded);
  if (size <= 0) return NotOpened(passphrase, "the private key");
  base::Secret key(encoded, static_cast<std::size_t>(size));
  OPENSSL_clear_free(encoded, static_cast<std::size_t>(size));
  return key;
}

int GivePassphrase(char* buffer, int size, int /*writing*/, void* passphrase) {
  const std::string_view text = static_cast<const base::Secret*>(passphrase)->view();
  if (text.size() > static_cast<std::size_t>(size)) return -1;
  std::copy(text.begin(), text.end(), buffer);
  return static_cast<int>(text.size());
}

// One PEM block, as OpenSSL returns it.
struct Block {
  std::string label;
  std::string header;
  base::Secret content;
};

// A key encrypted in the way of SSLeay: "Proc-Type: 4,ENCRYPTED".
absl::StatusOr<base::Secret> DecryptOldPem(Block& block, const base::Secret& passphrase) {
  if (passphrase.empty()) return NotOpened(passphrase, "the private key");
  const LegacyScope legacy;
  EVP_CIPHER_INFO cipher = {};
  if (PEM_get_EVP_CIPHER_INFO(block.header.data(), &cipher) != 1 || cipher.cipher == nullptr) {
    return Refused("KEY_MALFORMED",
                   "the private key is encrypted in an unknown way; save it again with AES");
  }
  long size = static_cast<long>(block.content.size());
  if (PEM_do_header(&cipher, block.content.mutable_data(), &size, GivePassphrase,
                    const_cast<base::Secret*>(&passphrase)) != 1 ||
      size <= 0) {
    return NotOpened(passphrase, "the private key");
  }
  base::Secret key(block.content.data(), static_cast<std::size_t>(size));
  const unsigned char* next = key.data();
  // A wrong pass phrase passes the padding once in 256 times; what comes out then is no key.
  const PkeyPtr parsed(d2i_AutoPrivateKey(nullptr, &next, size));
  if (parsed == nullptr) return NotOpened(passphrase, "the private key");
  return key;
}

absl::Status AddKey(absl::StatusOr<base::Secret> key, Heap* heap) {
  RETURN_IF_ERROR(key.status());
  if (heap->keys.size() >= kMaxPemKeys)
    return Refused("SEVERAL_KEYS", "there are many private keys in the file; leave the one that is meant");
  heap->keys.push_back(*std::move(key));
  return absl::OkStatus();
}

absl::Status AddBlock(Block& block, const base::Secret& passphrase, DerivationBudget* budget, Heap* heap) {
  const base::Secret& content = block.content;
  if (block.label == PEM_STRING_X509 || block.label == PEM_STRING_X509_OLD) {
    heap->formats.insert("pem");
    return AddCertificates(content.data(), content.size(), heap);
  }
  if (block.label == PEM_STRING_PKCS7 || block.label == PEM_STRING_PKCS7_SIGNED ||
      block.label == PEM_STRING_CMS) {
    return AddPkcs7(content.data(), content.size(), heap);
  }
  if (block.label == "PKCS12") return AddPkcs12(content.view(), passphrase, heap);
  if (block.label == PEM_STRING_PKCS8) {
    heap->formats.insert("pem");
    return AddKey(DecryptPkcs8(content, passphrase, budget), heap);
  }
  if (block.label == PEM_STRING_PKCS8INF || block.label == PEM_STRING_RSA ||
      block.label == PEM_STRING_ECPRIVATEKEY || block.label == PEM_STRING_DSA) {
    heap->formats.insert("pem");
    if (absl::StrContains(block.header, "ENCRYPTED"))
      return AddKey(DecryptOldPem(block, passphrase), heap);
    return AddKey(std::move(block.content), heap);
  }
  heap->labels.insert(block.label);
  return absl::OkStatus();
}

absl::Status ReadPem(std::string_view text, const base::Secret& passphrase, Heap* heap) {
  ERR_clear_error();
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (bio == nullptr) return absl::InternalError("reading PEM text: out of memory");
  DerivationBudget budget;
  for (int count = 1;; ++count) {
    char* label = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &label, &header, &data, &size) != 1) {
      if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) break;
      return Refused("CERTIFICATE_MALFORMED",
                     absl::StrCat("block ", count, " of the PEM text is damaged or cut short"));
    }
    Block block{label, header, base::Secret(data, static_cast<std::size_t>(size))};
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
    RETURN_IF_ERROR(AddBlock(block, passphrase, &budget, heap));
  }
  ERR_clear_error();
  return absl::OkStatus();
}

template <typename Ptr, typename Decode>
bool Decodes(std::string_view content, Decode decode) {
  const auto* next = reinterpret_cast<const unsigned char*>(content.data());
  return Ptr(decode(nullptr, &next, static_cast<long>(content.size()))) != nullptr;
}

// What stands behind the first header of a DER or BER element.
std::string_view Inside(std::string_view content) {
  if (content.size() < 2) return {};
  const auto length = static_cast<unsigned char>(content[1]);
  return content.substr(std::min(content.size(), length < 0x80 ? std::size_t{2} : 2u + (length & 0x7f)));
}

bool CutShort(std::string_view content) {
  if (content.size() < 2) return true;
  const auto* next = reinterpret_cast<const unsigned char*>(content.data());
  long length = 0;
  int tag = 0;
  int type = 0;
  const int result = ASN1_get_object(&next, &length, &tag, &type, static_cast<long>(content.size()));
  return (result & 0x80) != 0 && ERR_GET_REASON(ERR_peek_last_error()) == ASN1_R_TOO_LONG;
}

absl::Status ReadDer(std::string_view content, const base::Secret& passphrase, Heap* heap) {
  constexpr std::string_view kPkcs12Version{"\x02\x01\x03", 3};
  constexpr std::string_view kPkcs7Oid = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
  ERR_clear_error();
  if (CutShort(content)) {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is cut short: it announces more than it holds; copy it again");
  }
  const std::string_view inside = Inside(content);
  const auto* const data = reinterpret_cast<const std::uint8_t*>(content.data());
  if (inside.substr(0, kPkcs12Version.size()) == kPkcs12Version) {
    return AddPkcs12(content, passphrase, heap);
  }
  if (inside.substr(0, kPkcs7Oid.size()) == kPkcs7Oid) return AddPkcs7(data, content.size(), heap);
  if (Decodes<X509ReqPtr>(content, d2i_X509_REQ)) {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is a certificate request; bring the certificate that was issued for it");
  }
  if (Decodes<X509CrlPtr>(content, d2i_X509_CRL)) {
    return Refused("NOT_A_CERTIFICATE_FILE", "the file is a revocation list, not a certificate");
  }
  if (Decodes<PkeyPtr>(content, d2i_AutoPrivateKey) || Decodes<X509SigPtr>(content, d2i_X509_SIG)) {
    return Refused("KEY_WITHOUT_CERTIFICATE",
                   "the file is a private key alone; bring it together with its certificate, as PKCS#12 or PEM");
  }
  if (inside.substr(0, 1) != "\x30") {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is neither PKCS#12 nor PEM nor PKCS#7 nor a DER certificate");
  }
  heap->formats.insert("der");
  return AddCertificates(data, content.size(), heap);
}

bool IsBinary(std::string_view content) {
  // A text may begin with "0", which is also the first octet of every DER file; the length that follows is
  // that of a long element, or none.
  return content.size() >= 2 && content[0] == 0x30 && static_cast<unsigned char>(content[1]) >= 0x80;
}

absl::Status Collect(std::string_view content, const base::Secret& passphrase, Heap* heap) {
  if (content.size() > kMaxCertificateFileSize) {
    return Refused("FILE_TOO_LARGE", absl::StrCat("the file has ", content.size(), " octets; ",
                                                  kMaxCertificateFileSize, " are allowed"));
  }
  if (content.empty()) return Refused("NOT_A_CERTIFICATE_FILE", "the file is empty");
  if (CountCharacters(passphrase.view()) < 0 || passphrase.view().find('\0') != std::string_view::npos) {
    return base::InvalidField("passphrase", "PASSPHRASE_INVALID", "must be UTF-8 text without NUL");
  }
  if (IsBinary(content)) return ReadDer(content, passphrase, heap);
  if (content.substr(0, 4) == "\xfe\xed\xfe\xed") {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is a Java keystore (JKS); convert it to PKCS#12 with keytool -importkeystore "
                   "-deststoretype PKCS12");
  }
  if (content.substr(0, 3) == "\xef\xbb\xbf") content.remove_prefix(3);  // the mark of UTF-8 under Windows
  return ReadPem(content, passphrase, heap);
}

std::string WhatElse(const Heap& heap) {
  std::vector<std::string> known;
  for (const std::string& label : heap.labels) {
    const bool plain = label.size() <= 40 && std::all_of(label.begin(), label.end(), [](char c) {
                         return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ';
                       });
    if (plain && known.size() < 3) known.push_back(label);
  }
  return known.empty() ? "there is no certificate in the file"
                       : absl::StrCat("there is no certificate in the file, only: ",
                                      absl::StrJoin(known, ", "));
}

// A key file may hold the public half of one key and the private half of another, or be damaged.
bool Works(const PrivateKey& key) {
  ERR_clear_error();
  const unsigned char message[] = "phonepki";
  const MdCtxPtr signer(EVP_MD_CTX_new());
  const MdCtxPtr verifier(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (signer == nullptr || verifier == nullptr ||
      EVP_DigestSignInit(signer.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(signer.get(), nullptr, &size, message, sizeof message) != 1) {
    return false;
  }
  base::Bytes signature(size);
  const base::Bytes& spki = key.spki_der();
  const unsigned char* next = spki.data();
  const PkeyPtr public_half(d2i_PUBKEY(nullptr, &next, static_cast<long>(spki.size())));
  const bool works = EVP_DigestSign(signer.get(), signature.data(), &size, message, sizeof message) == 1 &&
                     public_half != nullptr &&
                     EVP_DigestVerifyInit(verifier.get(), nullptr, EVP_sha256(), nullptr,
                                          public_half.get()) == 1 &&
                     EVP_DigestVerify(verifier.get(), signature.data(), size, message, sizeof message) == 1;
  ERR_clear_error();
  return works;
}

absl::StatusOr<PrivateKey> ParseKey(const base::Secret& octets) {
  ERR_clear_error();
  const unsigned char* next = octets.data();
  PkeyPtr parsed;
  if (octets.size() <= kMaxKeySize)
    parsed.reset(d2i_AutoPrivateKey(nullptr, &next, static_cast<long>(octets.size())));
  if (parsed == nullptr) return Refused("KEY_MALFORMED", "the private key in the file cannot be read");
  auto key = PrivateKey::FromPkey(std::move(parsed));
  if (!key.ok()) return Refused("KEY_UNSUPPORTED", std::string(key.status().message()));
  return key;
}

// Null if there is none; one that stands in the file twice is one.
absl::StatusOr<std::optional<PrivateKey>> TheKey(const Heap& heap) {
  std::optional<PrivateKey> the_key;
  for (const base::Secret& octets : heap.keys) {
    ASSIGN_OR_RETURN(PrivateKey key, ParseKey(octets));
    if (the_key && the_key->spki_der() != key.spki_der()) {
      return Refused("SEVERAL_KEYS",
                     "there are several private keys in the file; export the one that is meant");
    }
    if (!the_key) the_key = std::move(key);
  }
  if (the_key && !Works(*the_key)) {
    return Refused("KEY_MALFORMED", "the private key in the file is damaged: it does not sign");
  }
  return the_key;
}

absl::StatusOr<std::vector<CertificateInfo>> Parsed(const std::vector<base::Bytes>& certificates) {
  std::set<base::Bytes> seen;
  std::vector<CertificateInfo> parsed;
  for (const base::Bytes& der : certificates) {
    if (!seen.insert(der).second) continue;
    if (seen.size() > kMaxFileCertificates) {
      return Refused("TOO_MANY_CERTIFICATES",
                     absl::StrCat("there are more than ", kMaxFileCertificates, " certificates in the file"));
    }
    auto info = ParseCertificate(der);
    if (!info.ok()) {
      return Refused("CERTIFICATE_MALFORMED",
                     absl::StrCat("certificate ", parsed.size() + 1, " of the file: ", info.status().message()));
    }
    parsed.push_back(*std::move(info));
  }
  return parsed;
}

std::vector<CertificateInfo>::const_iterator FindLeaf(const std::vector<CertificateInfo>& certificates,
                                                      const std::optional<PrivateKey>& key) {
  auto leaf = certificates.end();
  for (auto at = certificates.begin(); at != certificates.end(); ++at) {
    if (key) {
      if (at->spki_der != key->spki_der()) continue;
      if (leaf == certificates.end() || at->not_before > leaf->not_before) leaf = at;
    } else if (!at->is_ca) {
      if (leaf != certificates.end()) return certificates.end();  // which one is meant?
      leaf = at;
    }
  }
  return leaf;
}

}  // namespace

absl::StatusOr<CertificateFile> ReadCertificateFile(std::string_view content,
                                                    const base::Secret& passphrase) {
  Heap heap;
  RETURN_IF_ERROR(Collect(content, passphrase, &heap));
  CertificateFile file;
  file.format = heap.formats.size() == 1 ? *heap.formats.begin() : "pem";
  ASSIGN_OR_RETURN(file.key, TheKey(heap));
  if (heap.certificates.empty()) {
    if (!file.key) return Refused("NOT_A_CERTIFICATE_FILE", WhatElse(heap));
    return Refused("KEY_WITHOUT_CERTIFICATE",
                   "there is a private key in the file but no certificate; bring both in one file");
  }
  ASSIGN_OR_RETURN(const std::vector<CertificateInfo> certificates, Parsed(heap.certificates));
  const auto leaf = FindLeaf(certificates, file.key);
  if (file.key && leaf == certificates.end()) {
    return Refused("KEY_WITHOUT_CERTIFICATE",
                   absl::StrCat("none of the certificates in the file (", certificates.size(),
                                ") is of its private key"));
  }
  for (auto at = certificates.begin(); at != certificates.end(); ++at) {
    if (at == leaf) {
      file.leaf = at->der;
    } else {
      file.others.push_back(at->der);
    }
  }
  if (file.leaf) file.chain = TakeChain(*file.leaf, &file.others);
  return file;
}

}  // namespace phonepki::ca
