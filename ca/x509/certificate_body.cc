#include "ca/x509/certificate_body.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/der_reader.h"
#include "ca/x509/der_writer.h"
#include "ca/x509/network_name.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/utf8.h"

namespace phonepki::ca {
namespace {

constexpr int kPathLengthLimit = 127;
constexpr std::size_t kMaxNames = 256;
constexpr absl::Time kEarliest = absl::FromUnixSeconds(-631152000);  // 1950, where UTCTime begins
constexpr absl::Time kLatest = absl::FromUnixSeconds(253402300799);  // 9999-12-31T23:59:59Z

absl::Status CheckUrl(const std::string& url, const std::string& field) {
  if (url.empty()) return absl::OkStatus();
  const std::size_t scheme = url.find("://");
  const bool characters = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (scheme == std::string::npos || scheme == 0 || scheme + 3 == url.size() || url.size() > 2048 ||
      !characters) {
    return base::InvalidField(field, "URL_INVALID", "must be a URL of ASCII characters without spaces");
  }
  return absl::OkStatus();
}

bool IsUri(const std::string& uri) {
  const std::size_t colon = uri.find(':');
  return colon != std::string::npos && colon > 0 && colon + 1 < uri.size() && uri.size() <= 2048 &&
         absl::ascii_isalpha(static_cast<unsigned char>(uri[0])) &&
         std::all_of(uri.begin(), uri.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

absl::Status CheckNames(const SubjectAltNames& names) {
  const auto invalid = [](const std::string& field, const std::string& name, const std::string& rule) {
    return base::InvalidField(field, "SAN_INVALID", absl::StrCat("\"", name.substr(0, 80), "\" ", rule));
  };
  if (names.dns.size() + names.ip.size() + names.uri.size() > kMaxNames) {
    return base::InvalidField("names", "SAN_INVALID", "a certificate may hold at most 256 alternative names");
  }
  for (const std::string& dns : names.dns) {
    if (!IsDnsName(dns, /*allow_wildcard=*/true)) {
      return invalid("names.dns", dns, "is not a host name of letters, digits and hyphens");
    }
  }
  for (const std::string& ip : names.ip) {
    if (!ParseIp(ip)) return invalid("names.ip", ip, "is neither an IPv4 nor an IPv6 address");
  }
  for (const std::string& uri : names.uri) {
    if (!IsUri(uri)) return invalid("names.uri", uri, "is not a URI of ASCII characters with a scheme");
  }
  return absl::OkStatus();
}

absl::Status CheckProfile(const Profile& profile) {
  const auto invalid = [](const std::string& rule) {
    return base::InvalidField("profile", "PROFILE_INVALID", rule);
  };
  if (profile.digest == "sha1"
          ? !profile.allow_sha1
          : profile.digest != "sha256" && profile.digest != "sha384" && profile.digest != "sha512") {
    return base::InvalidField("digest", "DIGEST_REFUSED",
                              "use sha256, sha384 or sha512; sha1 needs the legacy switch");
  }
  if (profile.path_len && (!profile.ca || *profile.path_len < 0 || *profile.path_len > kPathLengthLimit)) {
    return invalid("a path length is for CA certificates and from 0 to 127");
  }
  if (((profile.key_usage & kKeyCertSign) != 0) != profile.ca) {
    return invalid("keyCertSign belongs to CA certificates and to no other (RFC 5280 section 4.2.1.9)");
  }
  for (const std::string& oid : profile.extended_key_usage) {
    if (!der::Oid(oid)) return invalid(absl::StrCat("\"", oid, "\" is not an object identifier"));
  }
  RETURN_IF_ERROR(CheckUrl(profile.crl_url, "crl_url"));
  RETURN_IF_ERROR(CheckUrl(profile.aia_ca_url, "aia_ca_url"));
  return CheckUrl(profile.ocsp_url, "ocsp_url");
}

absl::Status CheckSubject(const DistinguishedName& subject) {
  if (subject.empty()) return base::InvalidField("subject", "SUBJECT_EMPTY", "a certificate needs a subject");
  for (const auto& rdn : subject.rdns()) {
    for (const auto& attribute : rdn) {
      if (attribute.oid == "2.5.4.3" &&
          CountCharacters(attribute.text) > static_cast<int>(kMaxCommonNameLength)) {
        return base::InvalidField("subject", "COMMON_NAME_TOO_LONG", "the CN has more than 64 characters");
      }
    }
  }
  return absl::OkStatus();
}

base::Bytes SignatureAlgorithm(KeyAlgorithm algorithm, const std::string& digest) {
  const bool rsa = IsRsa(algorithm);
  const char* oid = nullptr;
  if (digest == "sha1") {
    oid = rsa ? "1.2.840.113549.1.1.5" : "1.2.840.10045.4.1";
  } else if (digest == "sha384") {
    oid = rsa ? "1.2.840.113549.1.1.12" : "1.2.840.10045.4.3.3";
  } else if (digest == "sha512") {
    oid = rsa ? "1.2.840.113549.1.1.13" : "1.2.840.10045.4.3.4";
  } else {
    oid = rsa ? "1.2.840.113549.1.1.11" : "1.2.840.10045.4.3.2";
  }
  if (rsa) return der::Tlv(der::kSequence, {der::KnownOid(oid), base::Bytes{der::kNull, 0}});
  return der::Tlv(der::kSequence, {der::KnownOid(oid)});
}

base::Bytes Extension(const char* oid, bool critical, const base::Bytes& value) {
  return der::Tlv(der::kSequence, {der::KnownOid(oid), critical ? der::Boolean(true) : base::Bytes{},
                                   der::Tlv(der::kOctetString, value)});
}

base::Bytes BasicConstraints(const Profile& profile) {
  if (!profile.ca) return der::Tlv(der::kSequence, base::Bytes{});
  return der::Tlv(der::kSequence, {der::Boolean(true),
                                   profile.path_len ? der::SmallInteger(*profile.path_len) : base::Bytes{}});
}

// A BIT STRING of named bits drops trailing zeros (X.690 section 11.2.2). All bits here fit one octet.
base::Bytes KeyUsageBits(std::uint16_t usage) {
  std::uint8_t octet = 0;
  for (int bit = 0; bit < 8; ++bit) {
    if ((usage >> bit & 1) != 0) octet = static_cast<std::uint8_t>(octet | 0x80 >> bit);
  }
  std::uint8_t unused = 0;
  while (unused < 7 && (octet >> unused & 1) == 0) ++unused;
  return der::Tlv(der::kBitString, base::Bytes{unused, octet});
}

base::Bytes AuthorityKeyIdentifier(const BodyInputs& inputs) {
  base::Bytes issuer_and_serial;
  if (inputs.self_signed && inputs.profile.authority_issuer_and_serial) {
    const base::Bytes directory_name = der::Tlv(der::Constructed(4), inputs.issuer.der());
    issuer_and_serial = der::Tlv(der::Constructed(1), directory_name);
    base::Bytes serial = der::UnsignedInteger(inputs.serial);
    serial[0] = der::Primitive(2);
    der::Append(&issuer_and_serial, serial);
  }
  return der::Tlv(der::kSequence, {der::Tlv(der::Primitive(0), inputs.authority_key_id), issuer_and_serial});
}

base::Bytes AlternativeNames(const SubjectAltNames& names) {
  base::Bytes content;
  for (const std::string& dns : names.dns)
    der::Append(&content, der::Tlv(der::Primitive(2), std::string_view(dns)));
  for (const std::string& ip : names.ip) der::Append(&content, der::Tlv(der::Primitive(7), *ParseIp(ip)));
  for (const std::string& uri : names.uri)
    der::Append(&content, der::Tlv(der::Primitive(6), std::string_view(uri)));
  return der::Tlv(der::kSequence, content);
}

base::Bytes CrlDistributionPoint(const std::string& url) {
  const base::Bytes name = der::Tlv(der::Constructed(0), der::Tlv(der::Primitive(6), std::string_view(url)));
  return der::Tlv(der::kSequence, der::Tlv(der::kSequence, der::Tlv(der::Constructed(0), name)));
}

base::Bytes AuthorityInfoAccess(const Profile& profile) {
  const auto access = [](const char* method, const std::string& url) {
    if (url.empty()) return base::Bytes{};
    return der::Tlv(der::kSequence,
                    {der::KnownOid(method), der::Tlv(der::Primitive(6), std::string_view(url))});
  };
  return der::Tlv(der::kSequence, {access("1.3.6.1.5.5.7.48.1", profile.ocsp_url),
                                   access("1.3.6.1.5.5.7.48.2", profile.aia_ca_url)});
}

base::Bytes Extensions(const BodyInputs& inputs, KeyAlgorithm subject_algorithm) {
  const Profile& profile = inputs.profile;
  base::Bytes list;
  const auto add = [&list](const char* oid, bool critical, const base::Bytes& value) {
    der::Append(&list, Extension(oid, critical, value));
  };
  add("2.5.29.19", true, BasicConstraints(profile));
  std::uint16_t usage = profile.key_usage;
  if (!IsRsa(subject_algorithm)) usage = static_cast<std::uint16_t>(usage & ~kKeyEncipherment);
  if (usage != 0) add("2.5.29.15", profile.key_usage_critical, KeyUsageBits(usage));
  if (!profile.extended_key_usage.empty()) {
    base::Bytes purposes;
    for (const std::string& oid : profile.extended_key_usage) der::Append(&purposes, der::KnownOid(oid));
    add("2.5.29.37", profile.extended_key_usage_critical, der::Tlv(der::kSequence, purposes));
  }
  add("2.5.29.14", false, der::Tlv(der::kOctetString, KeyIdentifier(inputs.request.spki_der)));
  add("2.5.29.35", false, AuthorityKeyIdentifier(inputs));
  if (!inputs.request.names.empty()) add("2.5.29.17", false, AlternativeNames(inputs.request.names));
  if (!profile.crl_url.empty()) add("2.5.29.31", false, CrlDistributionPoint(profile.crl_url));
  if (!profile.ocsp_url.empty() || !profile.aia_ca_url.empty()) {
    add("1.3.6.1.5.5.7.1.1", false, AuthorityInfoAccess(profile));
  }
  return der::Tlv(der::Constructed(3), der::Tlv(der::kSequence, list));
}

}  // namespace

absl::StatusOr<IssuanceRequest> CheckedRequest(const Profile& profile, const IssuanceRequest& request) {
  RETURN_IF_ERROR(CheckProfile(profile));
  RETURN_IF_ERROR(CheckSubject(request.subject));
  RETURN_IF_ERROR(CheckNames(request.names));
  if (request.not_before < kEarliest || request.not_after > kLatest || request.not_after < kEarliest ||
      request.not_before > kLatest) {
    return base::InvalidField("not_after", "VALIDITY_ORDER",
                              "the validity must lie between the years 1950 and 9999");
  }
  IssuanceRequest checked = request;
  checked.not_before = absl::FromUnixSeconds(absl::ToUnixSeconds(request.not_before));
  checked.not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(request.not_after));
  if (checked.not_after <= checked.not_before) {
    return base::InvalidField("not_after", "VALIDITY_ORDER", "the validity must end after it begins");
  }
  if (checked.not_after > kYear2038Limit && !profile.allow_2038) {
    return base::InvalidField(
        "not_after", "YEAR_2038",
        "the validity must end by 2038-01-19T03:14:07Z, where phones with 32-bit clocks stop; "
        "shorten it, or allow 2038 explicitly");
  }
  ASSIGN_OR_RETURN(const KeyAlgorithm algorithm, AlgorithmOfSpki(request.spki_der));
  if (algorithm == KeyAlgorithm::kRsa1024 && !profile.allow_rsa1024) {
    return base::InvalidField("public_key", "KEY_TOO_SHORT",
                              "RSA keys must have 2048 bits or more; 1024 needs the legacy switch");
  }
  return checked;
}

absl::StatusOr<base::Bytes> BuildBody(const BodyInputs& inputs) {
  ASSIGN_OR_RETURN(const KeyAlgorithm subject_algorithm, AlgorithmOfSpki(inputs.request.spki_der));
  return der::Tlv(
      der::kSequence,
      {der::Tlv(der::Constructed(0), der::SmallInteger(2)), der::UnsignedInteger(inputs.serial),
       SignatureAlgorithm(inputs.signing_algorithm, inputs.profile.digest), inputs.issuer.der(),
       der::Tlv(der::kSequence, {der::Time(inputs.request.not_before), der::Time(inputs.request.not_after)}),
       inputs.request.subject.der(), inputs.request.spki_der, Extensions(inputs, subject_algorithm)});
}

absl::StatusOr<base::Bytes> SignBody(const base::Bytes& tbs_der, const PrivateKey& key,
                                     const std::string& digest) {
  ERR_clear_error();
  const MdCtxPtr context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (context == nullptr ||
      EVP_DigestSignInit_ex(context.get(), nullptr, digest.c_str(), nullptr, nullptr, key.get(), nullptr) !=
          1 ||
      EVP_DigestSign(context.get(), nullptr, &size, tbs_der.data(), tbs_der.size()) != 1) {
    return OpenSslError("preparing a certificate signature");
  }
  base::Bytes signature(size);
  if (EVP_DigestSign(context.get(), signature.data(), &size, tbs_der.data(), tbs_der.size()) != 1) {
    return OpenSslError("signing a certificate");
  }
  signature.resize(size);
  return der::Tlv(der::kSequence,
                  {tbs_der, SignatureAlgorithm(key.algorithm(), digest), der::BitString(signature)});
}

absl::StatusOr<base::Bytes> RandomSerial() {
  ERR_clear_error();
  base::Bytes serial(20);
  do {
    if (RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1)
      return OpenSslError("drawing a serial number");
    serial[0] &= 0x7f;
  } while (std::all_of(serial.begin(), serial.end(), [](std::uint8_t octet) { return octet == 0; }));
  serial.erase(serial.begin(),
               std::find_if(serial.begin(), serial.end(), [](std::uint8_t octet) { return octet != 0; }));
  return serial;
}

base::Bytes KeyIdentifier(const base::Bytes& spki_der) {
  DerReader outer(spki_der);
  DerReader spki;
  DerReader bits;
  base::Bytes digest(SHA_DIGEST_LENGTH);
  if (outer.Read(0x30, &spki) && spki.Read(0x30, nullptr) && spki.Read(0x03, &bits) && bits.size() > 0) {
    SHA1(bits.data() + 1, bits.size() - 1, digest.data());
  }
  return digest;
}

}  // namespace phonepki::ca
