#include "ca/x509/file_contents.h"

#include <algorithm>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate_file.h"
#include "ca/x509/encrypted_key.h"
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

constexpr std::size_t kMaxPemKeys = 16;

absl::Status Refused(const std::string& reason, const std::string& what) {
  ERR_clear_error();
  return base::InvalidField("file", reason, what);
}

absl::Status AddCertificate(base::Bytes der, FileContents* contents) {
  if (contents->certificates.size() >= 2 * kMaxFileCertificates) {  // repetitions are not told apart yet
    return Refused("TOO_MANY_CERTIFICATES",
                   absl::StrCat("there are more than ", kMaxFileCertificates, " certificates in the file"));
  }
  contents->certificates.push_back(std::move(der));
  return absl::OkStatus();
}

// One or several certificates, one after the other.
absl::Status AddCertificates(const std::uint8_t* data, std::size_t size, FileContents* contents) {
  const unsigned char* next = data;
  const unsigned char* const end = data + size;
  while (next < end) {
    const unsigned char* const start = next;
    const X509Ptr certificate(d2i_X509(nullptr, &next, static_cast<long>(end - start)));
    if (certificate == nullptr) {
      return Refused("CERTIFICATE_MALFORMED", absl::StrCat("certificate ", contents->certificates.size() + 1,
                                                           " of the file cannot be read; export it again"));
    }
    RETURN_IF_ERROR(AddCertificate(base::Bytes(start, next), contents));
  }
  return absl::OkStatus();
}

absl::Status AddPkcs7(const std::uint8_t* data, std::size_t size, FileContents* contents) {
  const unsigned char* next = data;
  const Pkcs7Ptr message(d2i_PKCS7(nullptr, &next, static_cast<long>(size)));
  if (message == nullptr) return Refused("NOT_A_CERTIFICATE_FILE", "the PKCS#7 message cannot be read");
  if (!PKCS7_type_is_signed(message.get()) || message->d.sign == nullptr) {
    return Refused("NOT_A_CERTIFICATE_FILE", "the PKCS#7 message is not of the kind that holds certificates");
  }
  contents->formats.insert("pkcs7");
  const STACK_OF(X509)* const certificates = message->d.sign->cert;
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    unsigned char* encoded = nullptr;
    const int length = i2d_X509(sk_X509_value(certificates, i), &encoded);
    if (length <= 0)
      return Refused("CERTIFICATE_MALFORMED", "a certificate in the PKCS#7 message cannot be read");
    base::Bytes der(encoded, encoded + length);
    OPENSSL_free(encoded);
    RETURN_IF_ERROR(AddCertificate(std::move(der), contents));
  }
  return absl::OkStatus();
}

absl::Status AddPkcs12(std::string_view der, const base::Secret& passphrase, DerivationBudget* budget,
                       FileContents* contents) {
  auto bags = OpenPkcs12(der, passphrase, budget);
  if (!bags.ok()) {
    const std::string reason = base::ReasonOf(bags.status());
    const std::string text(bags.status().message());
    if (reason == "WRONG_PASSPHRASE") return PassphraseRefused(passphrase, "the PKCS#12 file");
    if (reason == "PASSPHRASE_INVALID") return base::InvalidField("passphrase", reason, text);
    return Refused(reason == "NOT_PKCS12" ? "NOT_A_CERTIFICATE_FILE" : reason, text);
  }
  contents->formats.insert("pkcs12");
  for (base::Secret& key : bags->keys) contents->keys.push_back(std::move(key));
  for (base::Bytes& certificate : bags->certificates)
    RETURN_IF_ERROR(AddCertificate(std::move(certificate), contents));
  return absl::OkStatus();
}

// One PEM block, as OpenSSL returns it.
struct Block {
  std::string label;
  std::string header;
  base::Secret content;
};

absl::Status AddKey(absl::StatusOr<base::Secret> key, FileContents* contents) {
  RETURN_IF_ERROR(key.status());
  if (contents->keys.size() >= kMaxPemKeys)
    return Refused("SEVERAL_KEYS", "there are many private keys in the file; leave the one that is meant");
  contents->keys.push_back(*std::move(key));
  return absl::OkStatus();
}

absl::Status AddBlock(Block& block, const base::Secret& passphrase, DerivationBudget* budget,
                      FileContents* contents) {
  const base::Secret& content = block.content;
  if (block.label == PEM_STRING_X509 || block.label == PEM_STRING_X509_OLD) {
    contents->formats.insert("pem");
    return AddCertificates(content.data(), content.size(), contents);
  }
  if (block.label == PEM_STRING_X509_TRUSTED) {  // OpenSSL's own remarks stand behind the certificate
    contents->formats.insert("pem");
    const unsigned char* end = content.data();
    const X509Ptr certificate(d2i_X509(nullptr, &end, static_cast<long>(content.size())));
    return AddCertificates(
        content.data(),
        certificate == nullptr ? content.size() : static_cast<std::size_t>(end - content.data()), contents);
  }
  if (block.label == PEM_STRING_PKCS7 || block.label == PEM_STRING_PKCS7_SIGNED ||
      block.label == PEM_STRING_CMS) {
    return AddPkcs7(content.data(), content.size(), contents);
  }
  if (block.label == "PKCS12") return AddPkcs12(content.view(), passphrase, budget, contents);
  if (content.size() > kMaxKeySize && absl::EndsWith(block.label, "PRIVATE KEY")) {
    return Refused("KEY_MALFORMED", "the private key in the file is larger than any that is supported");
  }
  if (block.label == PEM_STRING_PKCS8) {
    contents->formats.insert("pem");
    return AddKey(DecryptPkcs8(content, passphrase, budget), contents);
  }
  if (block.label == PEM_STRING_PKCS8INF || block.label == PEM_STRING_RSA ||
      block.label == PEM_STRING_ECPRIVATEKEY || block.label == PEM_STRING_DSA) {
    contents->formats.insert("pem");
    if (absl::StrContains(block.header, "ENCRYPTED"))
      return AddKey(DecryptPemKey(block.header, std::move(block.content), passphrase), contents);
    return AddKey(std::move(block.content), contents);
  }
  contents->labels.insert(block.label);
  return absl::OkStatus();
}

absl::Status ReadPem(std::string_view text, const base::Secret& passphrase, DerivationBudget* budget,
                     FileContents* contents) {
  ERR_clear_error();
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (bio == nullptr) return absl::InternalError("reading PEM text: out of memory");
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
    RETURN_IF_ERROR(AddBlock(block, passphrase, budget, contents));
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

absl::Status ReadDer(std::string_view content, const base::Secret& passphrase, DerivationBudget* budget,
                     FileContents* contents) {
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
    return AddPkcs12(content, passphrase, budget, contents);
  }
  if (inside.substr(0, kPkcs7Oid.size()) == kPkcs7Oid) return AddPkcs7(data, content.size(), contents);
  if (Decodes<X509ReqPtr>(content, d2i_X509_REQ)) {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is a certificate request; bring the certificate that was issued for it");
  }
  if (Decodes<X509CrlPtr>(content, d2i_X509_CRL)) {
    return Refused("NOT_A_CERTIFICATE_FILE", "the file is a revocation list, not a certificate");
  }
  if ((content.size() <= kMaxKeySize && Decodes<PkeyPtr>(content, d2i_AutoPrivateKey)) ||
      Decodes<X509SigPtr>(content, d2i_X509_SIG)) {
    return Refused(
        "KEY_WITHOUT_CERTIFICATE",
        "the file is a private key alone; bring it together with its certificate, as PKCS#12 or PEM");
  }
  if (inside.substr(0, 1) != "\x30") {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is neither PKCS#12 nor PEM nor PKCS#7 nor a DER certificate");
  }
  contents->formats.insert("der");
  return AddCertificates(data, content.size(), contents);
}

bool IsBinary(std::string_view content) {
  // A text may begin with "0", which is also the first octet of every DER file; the length that follows is
  // that of a long element, or none, or of an element too short to be a certificate as text.
  if (content.size() < 2 || content[0] != 0x30) return false;
  const auto length = static_cast<unsigned char>(content[1]);
  return length >= 0x80 || content.size() == length + std::size_t{2};
}

}  // namespace

absl::StatusOr<FileContents> OpenCertificateFile(std::string_view content, const base::Secret& passphrase) {
  if (content.size() > kMaxCertificateFileSize) {
    return Refused("FILE_TOO_LARGE", absl::StrCat("the file has ", content.size(), " octets; ",
                                                  kMaxCertificateFileSize, " are allowed"));
  }
  if (content.empty()) return Refused("NOT_A_CERTIFICATE_FILE", "the file is empty");
  if (CountCharacters(passphrase.view()) < 0 || passphrase.view().find('\0') != std::string_view::npos) {
    return base::InvalidField("passphrase", "PASSPHRASE_INVALID", "must be UTF-8 text without NUL");
  }
  FileContents contents;
  DerivationBudget budget;
  if (IsBinary(content)) {
    RETURN_IF_ERROR(ReadDer(content, passphrase, &budget, &contents));
    return contents;
  }
  if (content.substr(0, 4) == "\xfe\xed\xfe\xed") {
    return Refused("NOT_A_CERTIFICATE_FILE",
                   "the file is a Java keystore (JKS); convert it to PKCS#12 with keytool -importkeystore "
                   "-deststoretype PKCS12");
  }
  if (content.substr(0, 3) == "\xef\xbb\xbf") content.remove_prefix(3);  // the mark of UTF-8 under Windows
  RETURN_IF_ERROR(ReadPem(content, passphrase, &budget, &contents));
  return contents;
}

}  // namespace phonepki::ca
