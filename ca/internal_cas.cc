#include "ca/internal_cas.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/pkcs12.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"

namespace phonepki::ca {
namespace {

std::string Name(std::int64_t id) {
  return absl::StrCat("internalCas/", id);
}

absl::Status NameTaken(const absl::Status& status, const std::string& display_name) {
  if (!absl::IsAlreadyExists(status)) return status;
  return base::WithField(base::WithReason(absl::AlreadyExistsError(absl::StrCat(
                                              "an internal CA named \"", display_name, "\" exists already")),
                                          "DISPLAY_NAME_TAKEN"),
                         "display_name");
}

// Orders the certificates of an imported file from the CA's issuer up to the root.
absl::StatusOr<std::vector<base::Bytes>> OrderChain(const CertificateInfo& ca,
                                                    std::vector<base::Bytes> pool) {
  std::vector<base::Bytes> chain;
  CertificateInfo at = ca;
  while (!at.self_signed) {
    bool found = false;
    for (const base::Bytes& der : pool) {
      ASSIGN_OR_RETURN(CertificateInfo candidate, ParseCertificate(der));
      if (candidate.subject == at.issuer && candidate.is_ca && chain.size() <= pool.size()) {
        chain.push_back(der);
        at = candidate;
        found = true;
        break;
      }
    }
    if (!found) {
      return base::InvalidField("pkcs12", "CHAIN_INCOMPLETE",
                                absl::StrCat("the file must also hold the certificate of \"", at.issuer,
                                             "\" so that every issued certificate can carry its chain"));
    }
  }
  return chain;
}

}  // namespace

absl::Status InternalCas::Make(db::Tx& tx, const CaCreation& creation, db::InternalCaRecord& ca) {
  ASSIGN_OR_RETURN(DistinguishedName subject, DistinguishedName::Parse(creation.subject, "creation.subject"));
  if (subject.CommonNameCount() == 0) {
    return base::InvalidField("creation.subject", "COMMON_NAME_MISSING", "the subject of a CA needs a CN");
  }
  ASSIGN_OR_RETURN(KeyAlgorithm algorithm,
                   ParseKeyAlgorithm(creation.key_algorithm.empty() ? "rsa2048" : creation.key_algorithm,
                                     "creation.key_algorithm"));
  ca.not_before = creation.not_before.value_or(clock_.Now() - absl::Minutes(5));
  ca.not_after = creation.not_after.value_or(ca.not_before + absl::Hours(24 * 365));
  Profile profile = CaProfile();
  profile.allow_2038 = creation.allow_past_2038;
  profile.allow_rsa1024 = creation.allow_legacy;
  ASSIGN_OR_RETURN(PrivateKey key, keys_.Generate(algorithm));
  if (creation.parent_id) {
    ASSIGN_OR_RETURN(db::InternalCaRecord parent, db::GetInternalCa(tx, *creation.parent_id));
    if (!parent.enabled) {
      return base::WithReason(absl::FailedPreconditionError(
                                  absl::StrCat("the parent CA \"", parent.display_name, "\" is not enabled")),
                              "CA_DISABLED");
    }
    ASSIGN_OR_RETURN(auto issuer, issuers_.Get(parent));
    ASSIGN_OR_RETURN(IssuancePermit permit,
                     issuer->Prepare(profile, {subject, {}, key.spki_der(), ca.not_before, ca.not_after}));
    ASSIGN_OR_RETURN(ca.certificate, issuer->Sign(std::move(permit)));
    ca.parent_id = parent.id;
    ca.chain = parent.chain;
    ca.chain.insert(ca.chain.begin(), parent.certificate);
  } else {
    ASSIGN_OR_RETURN(ca.certificate, SelfSignCa(key, subject, ca.not_before, ca.not_after, profile));
  }
  ASSIGN_OR_RETURN(base::Secret der, key.ToPkcs8Der());
  ASSIGN_OR_RETURN(ca.wrapped_key, keystore_.Wrap(der, CaKeyPurpose(ca.id)));
  return db::SetInternalCaCertificate(tx, ca);
}

absl::StatusOr<db::InternalCaRecord> InternalCas::Create(const NewCa& wanted, const std::string& actor) {
  db::InternalCaRecord made;
  RETURN_IF_ERROR(database_.InTransaction("ca_create", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto earlier, db::FindApiRequest(tx, "CreateInternalCa", wanted.request_id));
    if (earlier) {
      ASSIGN_OR_RETURN(made, db::GetInternalCa(tx, *earlier));
      return absl::OkStatus();
    }
    if (wanted.enable && !wanted.creation) {
      return base::InvalidField("enable", "CA_IS_DRAFT", "a CA without a certificate cannot be enabled");
    }
    db::InternalCaRecord ca;
    absl::StatusOr<std::int64_t> id = db::InsertInternalCa(tx, wanted.display_name, wanted.description);
    if (!id.ok()) return NameTaken(id.status(), wanted.display_name);
    ca.id = *id;
    if (wanted.creation) RETURN_IF_ERROR(Make(tx, *wanted.creation, ca));
    if (wanted.enable) RETURN_IF_ERROR(db::SetInternalCaEnabled(tx, ca.id, true));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "ca.create", Name(ca.id)}}));
    RETURN_IF_ERROR(db::RecordApiRequest(tx, "CreateInternalCa", wanted.request_id, ca.id));
    ASSIGN_OR_RETURN(made, db::GetInternalCa(tx, ca.id));
    return wanted.validate_only ? db::DryRunEnd() : absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<db::InternalCaRecord> InternalCas::Generate(std::int64_t id, const CaCreation& creation,
                                                           bool validate_only, const std::string& actor) {
  db::InternalCaRecord made;
  RETURN_IF_ERROR(database_.InTransaction("ca_generate", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::LockInternalCa(tx, id));
    RETURN_IF_ERROR(Make(tx, creation, ca));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "ca.generate", Name(id)}}));
    ASSIGN_OR_RETURN(made, db::GetInternalCa(tx, id));
    return validate_only ? db::DryRunEnd() : absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<db::InternalCaRecord> InternalCas::Import(const CaImport& import, const std::string& actor) {
  absl::StatusOr<Pkcs12Contents> contents = ReadPkcs12(import.pkcs12, import.passphrase);
  if (!contents.ok()) return base::WithField(contents.status(), "pkcs12");
  ASSIGN_OR_RETURN(CertificateInfo info, ParseCertificate(contents->certificate));
  if (!info.is_ca) {
    return base::InvalidField("pkcs12", "NOT_A_CA",
                              "the certificate is an end-entity certificate (CA:FALSE)");
  }
  if (info.not_after <= clock_.Now()) {
    return base::InvalidField("pkcs12", "CA_EXPIRED", "the CA certificate has expired");
  }
  ASSIGN_OR_RETURN(std::vector<base::Bytes> chain, OrderChain(info, contents->chain));
  if (!chain.empty())
    RETURN_IF_ERROR(VerifyChain(contents->certificate, chain, {chain.back()}, clock_.Now()));
  ASSIGN_OR_RETURN(base::Secret der, contents->key.ToPkcs8Der());
  db::InternalCaRecord made;
  RETURN_IF_ERROR(database_.InTransaction("ca_import", [&](db::Tx& tx) -> absl::Status {
    db::InternalCaRecord ca;
    absl::StatusOr<std::int64_t> known = db::FindInternalCaByDisplayName(tx, import.display_name);
    if (absl::IsNotFound(known.status())) {
      ASSIGN_OR_RETURN(ca.id, db::InsertInternalCa(tx, import.display_name, import.description));
    } else if (!known.ok()) {
      return known.status();
    } else {
      ca.id = *known;
    }
    ca.certificate = contents->certificate;
    ca.chain = chain;
    ca.not_before = info.not_before;
    ca.not_after = info.not_after;
    ASSIGN_OR_RETURN(ca.wrapped_key, keystore_.Wrap(der, CaKeyPurpose(ca.id)));
    RETURN_IF_ERROR(db::SetInternalCaCertificate(tx, ca));
    if (import.enable) RETURN_IF_ERROR(db::SetInternalCaEnabled(tx, ca.id, true));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "ca.import", Name(ca.id)}}));
    ASSIGN_OR_RETURN(made, db::GetInternalCa(tx, ca.id));
    return import.validate_only ? db::DryRunEnd() : absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<db::InternalCaRecord> InternalCas::SetEnabled(std::int64_t id, bool enabled, bool force,
                                                             const std::string& actor,
                                                             std::vector<std::string>* affected_connectors) {
  return database_.InTransactionReturning(
      "ca_set_enabled", [&](db::Tx& tx) -> absl::StatusOr<db::InternalCaRecord> {
        ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::LockInternalCa(tx, id));
        if (enabled && ca.certificate.empty()) {
          return base::WithReason(absl::FailedPreconditionError("create or import the CA before enabling it"),
                                  "CA_IS_DRAFT");
        }
        if (!enabled) {
          ASSIGN_OR_RETURN(*affected_connectors, db::ListConnectorsOfCa(tx, id, true));
          if (!affected_connectors->empty() && !force) {
            return base::WithReason(
                absl::FailedPreconditionError(absl::StrCat(
                    "enabled connectors issue from this CA: ", absl::StrJoin(*affected_connectors, ", "),
                    "; disable them first, or force")),
                "CA_IN_USE");
          }
        }
        RETURN_IF_ERROR(db::SetInternalCaEnabled(tx, id, enabled));
        RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, enabled ? "ca.enable" : "ca.disable", Name(id)}}));
        return db::GetInternalCa(tx, id);
      });
}

absl::Status InternalCas::Delete(std::int64_t id, const std::string& actor) {
  return database_.InTransaction("ca_delete", [&](db::Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(db::LockInternalCa(tx, id).status());
    ASSIGN_OR_RETURN(std::vector<std::string> dependents, db::ListCaDependents(tx, id));
    if (!dependents.empty()) {
      return base::WithReason(absl::FailedPreconditionError(absl::StrCat("the internal CA is in use: ",
                                                                         absl::StrJoin(dependents, "; "))),
                              "CA_IN_USE");
    }
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "ca.delete", Name(id)}}));
    return db::DeleteInternalCa(tx, id);
  });
}

}  // namespace phonepki::ca
