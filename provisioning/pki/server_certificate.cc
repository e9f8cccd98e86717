// Certificates for doors of this server, which are no phone's: no job, no slot, no claim on a subject.
#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/network_name.h"
#include "db/audit_repository.h"
#include "provisioning/pki/issuance.h"

namespace phonepki::provisioning {
namespace {

constexpr char kField[] = "server_names";
constexpr char kKind[] = "tls-server";
constexpr absl::Duration kBackdate = absl::Minutes(5);  // for phones whose clock is a little behind

absl::StatusOr<ca::SubjectAltNames> ReadNames(const std::vector<std::string>& names) {
  ca::SubjectAltNames read;
  for (const std::string& name : names) {
    const auto octets = ca::ParseIp(name);
    if (!octets && !ca::IsDnsName(name)) {
      return base::InvalidField(
          kField, "SAN_INVALID",
          absl::StrCat("\"", name.substr(0, 100), "\" is neither an IP address nor a host name"));
    }
    auto& list = octets ? read.ip : read.dns;
    std::string text = octets ? ca::PrintIp(*octets) : absl::AsciiStrToLower(name);
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
  }
  if (!read.empty()) return read;
  return base::InvalidField(
      kField, "SERVER_NAMES_EMPTY",
      "a host name or address that phones call is needed; give it here or in secure.server_names");
}

// The template of the connector is for phones; of it a server takes what is the same for all of them.
absl::StatusOr<ca::DistinguishedName> ServerSubject(const std::string& phones_template,
                                                    const std::vector<std::string>& names) {
  const auto fits = std::find_if(names.begin(), names.end(), [](const std::string& name) {
    return name.size() <= ca::kMaxCommonNameLength;
  });
  ASSIGN_OR_RETURN(ca::DistinguishedName pattern,
                   ca::DistinguishedName::ParsePattern(phones_template, kField));
  ASSIGN_OR_RETURN(pattern,
                   pattern.WithCommonName(fits == names.end() ? "phonepki secure door" : *fits, kField));
  return pattern.Rewritten(kField, [](const std::string&, const std::string& text) {
    return absl::StrContains(absl::AsciiStrToLower(text), "{location}") ? std::string("Phone server") : text;
  });
}

}  // namespace

absl::StatusOr<ServerCertificate> Issuance::IssueForServer(std::int64_t connector_id,
                                                           const std::vector<std::string>& names,
                                                           bool validate_only, const std::string& actor) {
  ASSIGN_OR_RETURN(ca::SubjectAltNames alt_names, ReadNames(names));
  ASSIGN_OR_RETURN(std::shared_ptr<Source> source, Read(connector_id));
  RETURN_IF_ERROR(source->usable);
  ASSIGN_OR_RETURN(ca::DistinguishedName subject,
                   ServerSubject(source->policy->subject_template.text(), names));
  ca::Profile profile = ca::LeafProfile(ca::CertificateKind::kTlsServer);
  profile.allow_2038 = source->policy->allow_past_2038;
  profile.allow_rsa1024 = source->policy->allow_legacy;
  const absl::Time not_before = std::max(clock_.Now() - kBackdate, source->issuer->not_before());
  const absl::Time not_after = not_before + source->policy->validity_days * absl::Hours(24);
  ASSIGN_OR_RETURN(ca::PrivateKey key, keys_.Generate(source->policy->key_algorithm));
  ASSIGN_OR_RETURN(
      ca::IssuancePermit permit,
      source->issuer->Prepare(profile, {subject, alt_names, key.spki_der(), not_before, not_after}));
  std::vector<base::Bytes> chain = source->ca.chain;
  chain.insert(chain.begin(), source->ca.certificate);
  if (validate_only) return ServerCertificate{0, {}, std::move(chain), std::move(key)};
  db::CertificateRecord record;
  record.ca_id = source->ca.id;
  record.serial = permit.serial();
  record.kind = kKind;
  record.subject = subject.Print();
  record.not_before = not_before;
  record.not_after = not_after;
  record.tbs_digest = permit.tbs_digest();
  ASSIGN_OR_RETURN(
      std::vector<std::int64_t> ids,
      database_.InTransactionReturning(
          "server_certificate_intent", [&](db::Tx& tx) -> absl::StatusOr<std::vector<std::int64_t>> {
            RETURN_IF_ERROR(db::AppendAudit(
                tx,
                {{actor, "key.use", absl::StrCat("internalCas/", source->ca.id), "{\"certificates\": 1}"}}));
            return db::InsertIntents(tx, {record});
          }));
  ASSIGN_OR_RETURN(base::Bytes der, source->issuer->Sign(std::move(permit)));
  return ServerCertificate{ids.at(0), std::move(der), std::move(chain), std::move(key)};
}

absl::StatusOr<IssuingCa> Issuance::GetIssuingCa(std::int64_t connector_id) {
  ASSIGN_OR_RETURN(std::shared_ptr<Source> source, Read(connector_id));
  RETURN_IF_ERROR(source->usable);
  IssuingCa ca{source->ca.id, source->ca.chain};
  ca.chain.insert(ca.chain.begin(), source->ca.certificate);
  return ca;
}

}  // namespace phonepki::provisioning
