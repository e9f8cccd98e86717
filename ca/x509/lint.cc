#include "ca/x509/lint.h"

#include <algorithm>
#include <set>
#include <string>

#include <absl/strings/str_cat.h>
#include <openssl/err.h>
#include <openssl/sha.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/der_reader.h"
#include "ca/x509/network_name.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

absl::Status Finding(const std::string& what) {
  return base::WithReason(absl::InternalError(absl::StrCat("certificate lint: ", what)), "CERTIFICATE_LINT");
}

struct Fields {
  DerReader tbs;
  DerReader serial;
  DerReader inner_algorithm;
  DerReader outer_algorithm;
  DerReader issuer;
  DerReader subject;
  DerReader spki;
  DerReader not_before;
  DerReader not_after;
  DerReader extensions;
  DerReader signature;
};

bool ReadFields(const base::Bytes& der, Fields* fields) {
  DerReader outer(der), certificate, tbs, version, number, validity, explicit_extensions;
  return outer.Read(0x30, &certificate) && outer.AtEnd() && certificate.Read(0x30, &tbs, &fields->tbs) &&
         certificate.Read(0x30, nullptr, &fields->outer_algorithm) &&
         certificate.Read(0x03, &fields->signature) && certificate.AtEnd() && tbs.Read(0xa0, &version) &&
         version.Read(0x02, &number) && version.AtEnd() && number.view() == "\x02" &&
         tbs.Read(0x02, &fields->serial) && tbs.Read(0x30, nullptr, &fields->inner_algorithm) &&
         tbs.Read(0x30, nullptr, &fields->issuer) && tbs.Read(0x30, &validity) &&
         validity.ReadAny(nullptr, nullptr, &fields->not_before) &&
         validity.ReadAny(nullptr, nullptr, &fields->not_after) && validity.AtEnd() &&
         tbs.Read(0x30, nullptr, &fields->subject) && tbs.Read(0x30, nullptr, &fields->spki) &&
         tbs.Read(0xa3, &explicit_extensions) && tbs.AtEnd() &&
         explicit_extensions.Read(0x30, &fields->extensions) && explicit_extensions.AtEnd();
}

bool IsTime(DerReader element, absl::Time expected) {
  std::uint8_t tag = 0;
  DerReader content;
  if (!element.ReadAny(&tag, &content)) return false;
  const std::string_view text = content.view();
  const std::size_t year_digits = tag == 0x17 ? 2 : 4;
  if ((tag != 0x17 && tag != 0x18) || text.size() != year_digits + 11 || text.back() != 'Z') return false;
  int parts[6] = {};
  std::size_t position = 0;
  for (int part = 0; part < 6; ++part) {
    for (std::size_t digits = part == 0 ? year_digits : 2; digits > 0; --digits, ++position) {
      if (text[position] < '0' || text[position] > '9') return false;
      parts[part] = parts[part] * 10 + (text[position] - '0');
    }
  }
  if (tag == 0x17) parts[0] += parts[0] < 50 ? 2000 : 1900;
  if (tag == 0x18 && parts[0] < 2050) return false;
  const absl::CivilSecond civil(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]);
  return absl::FromCivil(civil, absl::UTCTimeZone()) == expected;
}

bool IsSerial(const DerReader& content, const base::Bytes& expected) {
  if (content.AtEnd() || content.size() > 20 || (content.data()[0] & 0x80) != 0) return false;
  std::string_view digits = content.view();
  if (digits.front() == '\0') digits.remove_prefix(1);
  return !digits.empty() && digits == DerReader(expected).view();
}

bool IsElliptic(DerReader spki) {
  DerReader content, algorithm;
  std::string oid;
  return spki.Read(0x30, &content) && content.Read(0x30, &algorithm) && algorithm.ReadOid(&oid) &&
         oid == "1.2.840.10045.2.1";
}

bool IsBasicConstraints(DerReader value, const Profile& profile) {
  DerReader sequence, flag, length;
  if (!value.Read(0x30, &sequence) || !value.AtEnd()) return false;
  const bool ca = sequence.Read(0x01, &flag) && flag.view() == "\xff";
  const bool has_length = sequence.Read(0x02, &length);
  if (!sequence.AtEnd() || ca != profile.ca || has_length != profile.path_len.has_value()) return false;
  return !has_length || (length.size() == 1 && length.data()[0] == *profile.path_len);
}

bool IsKeyUsage(DerReader value, std::uint16_t expected) {
  DerReader bits;
  if (!value.Read(0x03, &bits) || !value.AtEnd() || bits.size() != 2 || bits.data()[0] > 7) return false;
  std::uint16_t usage = 0;
  for (int bit = 0; bit < 8; ++bit) {
    if ((bits.data()[1] & (0x80 >> bit)) != 0) usage = static_cast<std::uint16_t>(usage | 1 << bit);
  }
  return usage == expected;
}

bool IsExtendedKeyUsage(DerReader value, const std::vector<std::string>& expected) {
  DerReader sequence;
  if (!value.Read(0x30, &sequence) || !value.AtEnd()) return false;
  std::vector<std::string> purposes;
  for (std::string oid; sequence.ReadOid(&oid);) purposes.push_back(oid);
  return sequence.AtEnd() && purposes == expected;
}

bool IsSubjectKeyId(DerReader value, DerReader spki) {
  DerReader id, content, bits;
  if (!value.Read(0x04, &id) || !value.AtEnd() || !spki.Read(0x30, &content) ||
      !content.Read(0x30, nullptr) || !content.Read(0x03, &bits) || bits.AtEnd()) {
    return false;
  }
  base::Bytes digest(SHA_DIGEST_LENGTH);
  SHA1(bits.data() + 1, bits.size() - 1, digest.data());
  return id.Equals(digest);
}

bool IsAlternativeNames(DerReader value, const SubjectAltNames& expected) {
  DerReader sequence, content;
  if (!value.Read(0x30, &sequence) || !value.AtEnd()) return false;
  SubjectAltNames names;
  for (std::uint8_t tag = 0; sequence.ReadAny(&tag, &content);) {
    if (tag == 0x82) {
      names.dns.emplace_back(content.view());
    } else if (tag == 0x86) {
      names.uri.emplace_back(content.view());
    } else if (tag == 0x87) {
      names.ip.push_back(PrintIp(content.ToBytes()));
    } else {
      return false;
    }
  }
  const bool same_ip = std::equal(names.ip.begin(), names.ip.end(), expected.ip.begin(), expected.ip.end(),
                                  [](const auto& a, const auto& b) { return ParseIp(a) == ParseIp(b); });
  return sequence.AtEnd() && names.dns == expected.dns && names.uri == expected.uri && same_ip;
}

bool Holds(const DerReader& value, const std::string& text) {
  return value.view().find(text) != std::string_view::npos;
}

// Checks one extension; false if the profile does not have it or has it otherwise.
bool IsExpected(const std::string& oid, bool critical, const DerReader& value, const Fields& fields,
                const LintExpectation& expected) {
  const Profile& profile = expected.profile;
  if (oid == "2.5.29.19") return critical && IsBasicConstraints(value, profile);
  if (oid == "2.5.29.15") {
    std::uint16_t usage = profile.key_usage;
    if (IsElliptic(fields.spki)) usage = static_cast<std::uint16_t>(usage & ~kKeyEncipherment);
    return critical == profile.key_usage_critical && usage != 0 && IsKeyUsage(value, usage);
  }
  if (oid == "2.5.29.37") {
    return critical == profile.extended_key_usage_critical && !profile.extended_key_usage.empty() &&
           IsExtendedKeyUsage(value, profile.extended_key_usage);
  }
  if (critical) return false;
  if (oid == "2.5.29.14") return IsSubjectKeyId(value, fields.spki);
  if (oid == "2.5.29.35") {
    DerReader copy = value, sequence, id;
    return copy.Read(0x30, &sequence) && copy.AtEnd() && sequence.Read(0x80, &id) && !id.AtEnd();
  }
  if (oid == "2.5.29.17")
    return !expected.request.names.empty() && IsAlternativeNames(value, expected.request.names);
  if (oid == "2.5.29.31") return !profile.crl_url.empty() && Holds(value, profile.crl_url);
  if (oid == "1.3.6.1.5.5.7.1.1") {
    return !(profile.ocsp_url.empty() && profile.aia_ca_url.empty()) && Holds(value, profile.ocsp_url) &&
           Holds(value, profile.aia_ca_url);
  }
  return false;
}

std::set<std::string> ExpectedExtensions(const Fields& fields, const LintExpectation& expected) {
  const Profile& profile = expected.profile;
  std::set<std::string> oids = {"2.5.29.19", "2.5.29.14", "2.5.29.35"};
  const int usage = IsElliptic(fields.spki) ? profile.key_usage & ~kKeyEncipherment : profile.key_usage;
  if (usage != 0) oids.insert("2.5.29.15");
  if (!profile.extended_key_usage.empty()) oids.insert("2.5.29.37");
  if (!expected.request.names.empty()) oids.insert("2.5.29.17");
  if (!profile.crl_url.empty()) oids.insert("2.5.29.31");
  if (!profile.ocsp_url.empty() || !profile.aia_ca_url.empty()) oids.insert("1.3.6.1.5.5.7.1.1");
  return oids;
}

absl::Status LintExtensions(const Fields& fields, const LintExpectation& expected) {
  std::set<std::string> missing = ExpectedExtensions(fields, expected);
  std::set<std::string> seen;
  DerReader list = fields.extensions;
  while (!list.AtEnd()) {
    DerReader extension, flag, value;
    std::string oid;
    if (!list.Read(0x30, &extension) || !extension.ReadOid(&oid)) return Finding("an extension is malformed");
    const bool has_flag = extension.Read(0x01, &flag);
    if ((has_flag && flag.view() != "\xff") || !extension.Read(0x04, &value) || !extension.AtEnd()) {
      return Finding("an extension is malformed");
    }
    if (!seen.insert(oid).second) return Finding(absl::StrCat("extension ", oid, " occurs twice"));
    if (!IsExpected(oid, has_flag, value, fields, expected)) {
      return Finding(absl::StrCat("extension ", oid, " is not what the profile says"));
    }
    missing.erase(oid);
  }
  if (!missing.empty()) return Finding(absl::StrCat("extension ", *missing.begin(), " is missing"));
  return absl::OkStatus();
}

absl::Status VerifySignature(const Fields& fields, const LintExpectation& expected) {
  ERR_clear_error();
  const MdCtxPtr context(EVP_MD_CTX_new());
  if (fields.signature.size() < 2 || fields.signature.data()[0] != 0)
    return Finding("the signature is malformed");
  if (context == nullptr || EVP_DigestVerifyInit_ex(context.get(), nullptr, expected.profile.digest.c_str(),
                                                    nullptr, nullptr, expected.issuer_key, nullptr) != 1) {
    return OpenSslError("preparing to verify a certificate signature");
  }
  if (EVP_DigestVerify(context.get(), fields.signature.data() + 1, fields.signature.size() - 1,
                       fields.tbs.data(), fields.tbs.size()) != 1) {
    ERR_clear_error();
    return Finding("the signature does not verify with the issuer's key");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LintCertificate(const base::Bytes& certificate_der, const LintExpectation& expected) {
  Fields fields;
  if (!ReadFields(certificate_der, &fields)) return Finding("the certificate is malformed");
  if (!IsSerial(fields.serial, expected.serial)) return Finding("the serial number is not the permit's");
  if (!(fields.inner_algorithm == fields.outer_algorithm))
    return Finding("the two signature algorithms differ");
  if (!fields.issuer.Equals(expected.issuer_name_der)) return Finding("the issuer is not the CA's subject");
  if (!fields.subject.Equals(expected.request.subject.der()))
    return Finding("the subject is not the request's");
  if (!fields.spki.Equals(expected.request.spki_der)) return Finding("the public key is not the request's");
  if (!IsTime(fields.not_before, expected.request.not_before) ||
      !IsTime(fields.not_after, expected.request.not_after)) {
    return Finding("the validity is not the request's");
  }
  RETURN_IF_ERROR(LintExtensions(fields, expected));
  return VerifySignature(fields, expected);
}

}  // namespace phonepki::ca
