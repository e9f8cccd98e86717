#include "ca/x509/issuer.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

// SubjectPublicKeyInfo taken apart without decoding the key, which would cost more than a signature.
struct PublicKeyParts {
  OpenSslPtr<X509_ALGOR, X509_ALGOR_free> algorithm;
  OpenSslPtr<ASN1_BIT_STRING, ASN1_BIT_STRING_free> key;
};

absl::StatusOr<PublicKeyParts> TakeApart(const base::Bytes& spki) {
  const unsigned char* at = spki.data();
  long length = 0;
  int tag = 0, type = 0;
  if (ASN1_get_object(&at, &length, &tag, &type, static_cast<long>(spki.size())) & 0x80 || tag != V_ASN1_SEQUENCE) {
    return OpenSslError("reading a public key");
  }
  PublicKeyParts parts;
  const unsigned char* end = at + length;
  parts.algorithm.reset(d2i_X509_ALGOR(nullptr, &at, end - at));
  if (parts.algorithm) parts.key.reset(d2i_ASN1_BIT_STRING(nullptr, &at, end - at));
  if (!parts.key) return OpenSslError("reading a public key");
  return parts;
}

bool SetPublicKey(X509* body, const PublicKeyParts& parts) {
  const ASN1_OBJECT* object = nullptr;
  const void* value = nullptr;
  int type = 0;
  X509_ALGOR_get0(&object, &type, &value, parts.algorithm.get());
  void* parameter = type == V_ASN1_OBJECT ? OBJ_dup(static_cast<const ASN1_OBJECT*>(value)) : nullptr;
  auto* octets = static_cast<unsigned char*>(OPENSSL_memdup(parts.key->data, parts.key->length));
  return X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(body), OBJ_dup(object), type, parameter, octets,
                                parts.key->length) == 1;
}

// RFC 5280 4.2.1.2 method (1).
OpenSslPtr<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> KeyIdentifier(const PublicKeyParts& parts) {
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(parts.key->data, parts.key->length, digest);
  OpenSslPtr<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> id(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(id.get(), digest, sizeof digest);
  return id;
}

bool AddExtension(X509* body, int nid, void* value, bool critical) {
  return X509_add1_ext_i2d(body, nid, value, critical ? 1 : 0, X509V3_ADD_APPEND) == 1;
}

bool AddBasicConstraints(X509* body, const Profile& profile) {
  OpenSslPtr<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free> constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = profile.ca ? 0xff : 0;
  if (profile.ca && profile.path_len) {
    constraints->pathlen = ASN1_INTEGER_new();
    ASN1_INTEGER_set(constraints->pathlen, *profile.path_len);
  }
  return AddExtension(body, NID_basic_constraints, constraints.get(), true);
}

bool AddUsage(X509* body, const Profile& profile, bool rsa) {
  OpenSslPtr<ASN1_BIT_STRING, ASN1_BIT_STRING_free> usage(ASN1_BIT_STRING_new());
  const struct {
    int bit, flag;
  } bits[] = {{0, KU_DIGITAL_SIGNATURE}, {1, KU_NON_REPUDIATION}, {2, KU_KEY_ENCIPHERMENT},
              {5, KU_KEY_CERT_SIGN},     {6, KU_CRL_SIGN}};
  for (const auto& bit : bits) {
    const bool possible = rsa || bit.flag != KU_KEY_ENCIPHERMENT;
    if ((profile.key_usage & bit.flag) && possible) ASN1_BIT_STRING_set_bit(usage.get(), bit.bit, 1);
  }
  if (!AddExtension(body, NID_key_usage, usage.get(), profile.key_usage_critical)) return false;
  if (profile.extended_key_usage.empty()) return true;
  OpenSslPtr<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free> extended(EXTENDED_KEY_USAGE_new());
  for (int nid : profile.extended_key_usage) sk_ASN1_OBJECT_push(extended.get(), OBJ_nid2obj(nid));
  return AddExtension(body, NID_ext_key_usage, extended.get(), false);
}

// CA certificates name their issuer by key, name and serial, leaves by key (C-16).
bool AddAuthorityKeyId(X509* body, const ASN1_OCTET_STRING* issuer_key_id, X509* issuer) {
  OpenSslPtr<AUTHORITY_KEYID, AUTHORITY_KEYID_free> id(AUTHORITY_KEYID_new());
  id->keyid = ASN1_OCTET_STRING_dup(issuer_key_id);
  if (issuer != nullptr) {
    id->issuer = GENERAL_NAMES_new();
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_dup(X509_get_issuer_name(issuer)));
    sk_GENERAL_NAME_push(id->issuer, name);
    id->serial = ASN1_INTEGER_dup(X509_get0_serialNumber(issuer));
  }
  return AddExtension(body, NID_authority_key_identifier, id.get(), false);
}

absl::Status AddNames(X509* body, const SubjectAltNames& names) {
  if (names.dns.empty() && names.ip.empty()) return absl::OkStatus();
  GeneralNamesPtr general(GENERAL_NAMES_new());
  for (const std::string& dns : names.dns) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size()));
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(general.get(), name);
  }
  for (const std::string& ip : names.ip) {
    ASN1_OCTET_STRING* address = a2i_IPADDRESS(ip.c_str());
    if (address == nullptr) {
      return base::InvalidField("names", "SUBJECT_ALT_NAME", absl::StrCat("\"", ip, "\" is no IP address"));
    }
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, GEN_IPADD, address);
    sk_GENERAL_NAME_push(general.get(), name);
  }
  if (!AddExtension(body, NID_subject_alt_name, general.get(), false)) return OpenSslError("adding names");
  return absl::OkStatus();
}

bool SetTime(ASN1_TIME* field, absl::Time time) { return ASN1_TIME_set(field, absl::ToTimeT(time)) != nullptr; }

base::Bytes RandomSerial() {
  base::Bytes serial(20);
  RAND_bytes(serial.data(), static_cast<int>(serial.size()));
  serial[0] = (serial[0] & 0x7f) | 0x40;  // positive, and always 20 octets long
  return serial;
}

// The algorithm goes into the body before it is signed, so that the digest of what will be signed is known. OpenSSL
// offers no setter; X509_sign() writes the same value over it.
void SetSignatureAlgorithm(X509* body, bool rsa) {
  auto* algorithm = const_cast<X509_ALGOR*>(X509_get0_tbs_sigalg(body));
  X509_ALGOR_set0(algorithm, OBJ_nid2obj(rsa ? NID_sha256WithRSAEncryption : NID_ecdsa_with_SHA256),
                  rsa ? V_ASN1_NULL : V_ASN1_UNDEF, nullptr);
}

base::Bytes DigestOfBody(X509* body) {
  unsigned char* out = nullptr;
  const int size = i2d_re_X509_tbs(body, &out);
  const base::Bytes tbs(out, out + std::max(size, 0));
  OPENSSL_free(out);
  return Sha256(tbs);
}

struct Draft {
  X509Ptr body;
  base::Bytes serial;
};

// `issuer` null: self-signed.
absl::StatusOr<Draft> Build(const Profile& profile, const IssuanceRequest& request, X509* issuer) {
  ERR_clear_error();
  ASSIGN_OR_RETURN(PublicKeyParts key, TakeApart(request.spki_der));
  const bool rsa = OBJ_obj2nid(key.algorithm->algorithm) == NID_rsaEncryption;
  Draft draft{X509Ptr(X509_new()), RandomSerial()};
  X509* body = draft.body.get();
  BignumPtr serial(BN_bin2bn(draft.serial.data(), static_cast<int>(draft.serial.size()), nullptr));
  const base::Bytes subject_der = request.subject.ToDer();
  const unsigned char* at = subject_der.data();
  X509NamePtr subject(d2i_X509_NAME(nullptr, &at, static_cast<long>(subject_der.size())));
  const auto key_id = KeyIdentifier(key);
  const ASN1_OCTET_STRING* issuer_key_id = issuer == nullptr ? key_id.get() : X509_get0_subject_key_id(issuer);
  const bool built =
      subject && X509_set_version(body, X509_VERSION_3) == 1 &&
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(body)) != nullptr &&
      X509_set_subject_name(body, subject.get()) == 1 &&
      X509_set_issuer_name(body, issuer == nullptr ? subject.get() : X509_get_subject_name(issuer)) == 1 &&
      SetTime(X509_getm_notBefore(body), request.not_before) && SetTime(X509_getm_notAfter(body), request.not_after) &&
      SetPublicKey(body, key) && AddBasicConstraints(body, profile) && AddUsage(body, profile, rsa) &&
      AddExtension(body, NID_subject_key_identifier, key_id.get(), false) &&
      (issuer_key_id == nullptr || AddAuthorityKeyId(body, issuer_key_id, profile.ca ? issuer : nullptr));
  if (!built) return OpenSslError("building a certificate");
  RETURN_IF_ERROR(AddNames(body, request.names));
  return draft;
}

absl::Status CheckKeyStrength(const base::Bytes& spki, bool allow_legacy) {
  // A SubjectPublicKeyInfo of RSA 2048 has 294 octets, of RSA 1024 162; EC keys are shorter and name their curve.
  ASSIGN_OR_RETURN(PublicKeyParts key, TakeApart(spki));
  const bool rsa = OBJ_obj2nid(key.algorithm->algorithm) == NID_rsaEncryption;
  if (rsa && spki.size() < 290 && !allow_legacy) {
    return base::InvalidField("key_algorithm", "KEY_TOO_WEAK",
                              "RSA below 2048 bits is refused; the legacy switch permits 1024");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckValidity(absl::Time not_before, absl::Time not_after, bool allow_past_2038) {
  if (not_after <= not_before) {
    return base::InvalidField("not_after", "VALIDITY", "Valid to must be later than Valid from");
  }
  if (not_after > Year2038Limit() && !allow_past_2038) {
    return base::InvalidField("not_after", "YEAR_2038",
                              "validity past 2038-01-19T03:14:07Z breaks 32-bit clocks (C-05); shorten it or set the "
                              "override");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::Create(const base::Bytes& certificate, PrivateKey key) {
  ASSIGN_OR_RETURN(X509Ptr decoded, DecodeCertificate(certificate));
  ASSIGN_OR_RETURN(CertificateInfo info, ParseCertificate(certificate));
  if (!info.is_ca) {
    return base::WithReason(absl::InvalidArgumentError("the certificate is not a CA certificate (basicConstraints)"),
                            "NOT_A_CA");
  }
  if (X509_check_private_key(decoded.get(), key.get()) != 1) {
    ERR_clear_error();
    return base::WithReason(absl::InvalidArgumentError("the private key does not belong to the certificate"),
                            "KEY_MISMATCH");
  }
  return std::unique_ptr<Issuer>(new Issuer(std::move(decoded), std::move(info), std::move(key)));
}

absl::StatusOr<base::Bytes> Issuer::SelfSign(const PrivateKey& key, const DistinguishedName& subject,
                                             absl::Time not_before, absl::Time not_after, const Profile& profile) {
  RETURN_IF_ERROR(CheckValidity(not_before, not_after, profile.allow_past_2038));
  RETURN_IF_ERROR(CheckKeyStrength(key.spki_der(), profile.allow_legacy_keys));
  IssuanceRequest request{subject, {}, key.spki_der(), not_before, not_after};
  ASSIGN_OR_RETURN(Draft draft, Build(profile, request, nullptr));
  if (X509_sign(draft.body.get(), key.get(), EVP_sha256()) <= 0) return OpenSslError("signing a CA certificate");
  return EncodeCertificate(draft.body.get());
}

absl::StatusOr<IssuancePermit> Issuer::Prepare(const Profile& profile, const IssuanceRequest& request) const {
  RETURN_IF_ERROR(CheckValidity(request.not_before, request.not_after, profile.allow_past_2038));
  RETURN_IF_ERROR(CheckKeyStrength(request.spki_der, profile.allow_legacy_keys));
  if (request.not_after > info_.not_after) {
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "the certificate would end on ", absl::FormatTime("%Y-%m-%d", request.not_after, absl::UTCTimeZone()),
            ", after its CA on ", absl::FormatTime("%Y-%m-%d", info_.not_after, absl::UTCTimeZone()),
            ": lower internal.default.validity.days or use a CA that lives longer")),
        "CA_EXPIRES_FIRST");
  }
  if (request.subject.Print() == info_.subject) {
    return base::InvalidField("subject", "SUBJECT_EQUALS_CA",
                              "the subject equals the CA's own; path validation would fail (C-12)");
  }
  ASSIGN_OR_RETURN(Draft draft, Build(profile, request, certificate_.get()));
  SetSignatureAlgorithm(draft.body.get(), IsRsa(key_.algorithm()));
  IssuancePermit permit;
  permit.tbs_digest_ = DigestOfBody(draft.body.get());
  permit.serial_ = std::move(draft.serial);
  permit.body_ = std::move(draft.body);
  return permit;
}

absl::StatusOr<base::Bytes> Issuer::Sign(IssuancePermit permit) const {
  ERR_clear_error();
  X509* body = permit.body_.get();
  if (X509_sign(body, key_.get(), EVP_sha256()) <= 0) return OpenSslError("signing a certificate");
  if (DigestOfBody(body) != permit.tbs_digest_) {
    return absl::InternalError("lint: the signed certificate is not the one that was prepared");
  }
  base::Bytes der = EncodeCertificate(body);
  ASSIGN_OR_RETURN(X509Ptr again, DecodeCertificate(der));
  if (X509_verify(again.get(), key_.get()) != 1) return OpenSslError("lint: checking the new signature");
  return der;
}

}  // namespace phonepki::ca
