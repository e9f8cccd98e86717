#include "ca/internal_cas.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/pkcs12.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"
#include "db/certificate_repository.h"

namespace phonepki::ca {
namespace {

std::string Name(std::int64_t id) {
  return absl::StrCat("internalCas/", id);
}

absl::Status HasCertificate(const std::string& field) {
  return base::WithField(
      base::WithReason(absl::FailedPreconditionError("the internal CA already has a certificate and key"),
                       "CA_HAS_CERTIFICATE"),
      field);
}

// What the certificate code has against a request, as paths of the API.
absl::Status InCreation(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status) && !absl::IsFailedPrecondition(status)) return status;
  std::string field = base::FieldOf(status);
  if (field.empty()) field = base::ReasonOf(status) == "CA_EXPIRES_FIRST" ? "not_after" : "parent";
  return base::WithField(status, absl::StrCat("creation.", field));
}

// The chain of an imported file, nearest first, must reach a root.
absl::Status CheckComplete(const CertificateInfo& ca, const std::vector<base::Bytes>& chain) {
  CertificateInfo top = ca;
  if (!chain.empty()) {
    ASSIGN_OR_RETURN(top, ParseCertificate(chain.back()));
  }
  if (top.self_signed) return absl::OkStatus();
  return base::InvalidField(
      "pkcs12", "CHAIN_INCOMPLETE",
      absl::StrCat("the file must also hold the certificate of \"", top.issuer, "\" that signed \"",
                   top.subject, "\", so that every issued certificate can carry its chain"));
}

}  // namespace

absl::Status InternalCas::Make(db::Tx& tx, const CaCreation& creation, bool validate_only,
                               const std::string& actor, db::InternalCaRecord& ca) {
  ASSIGN_OR_RETURN(DistinguishedName subject, DistinguishedName::Parse(creation.subject, "creation.subject"));
  if (subject.CommonNameCount() == 0) {
    return base::InvalidField("creation.subject", "COMMON_NAME_MISSING", "the subject of a CA needs a CN");
  }
  ASSIGN_OR_RETURN(KeyAlgorithm algorithm,
                   ParseKeyAlgorithm(creation.key_algorithm.empty() ? "rsa2048" : creation.key_algorithm,
                                     "creation.key_algorithm"));
  if (algorithm == KeyAlgorithm::kRsa1024 && !creation.allow_legacy) {
    return base::InvalidField("creation.key_algorithm", "KEY_TOO_WEAK", "rsa1024 needs allow_legacy");
  }
  ca.not_before = creation.not_before.value_or(clock_.Now() - absl::Minutes(5));
  ca.not_after = creation.not_after.value_or(ca.not_before + absl::Hours(24 * 365));
  if (ca.not_before < ca.not_after && ca.not_after <= clock_.Now()) {
    return base::InvalidField("creation.not_after", "VALIDITY_OVER", "the validity would already be over");
  }
  Profile profile = CaProfile();
  profile.allow_2038 = creation.allow_past_2038;
  profile.allow_rsa1024 = creation.allow_legacy;
  std::optional<db::InternalCaRecord> parent;
  if (creation.parent_id) {
    ASSIGN_OR_RETURN(parent, db::GetInternalCa(tx, *creation.parent_id));
    if (!parent->enabled) {
      return base::WithField(
          base::WithReason(absl::FailedPreconditionError(
                               absl::StrCat("the parent CA \"", parent->display_name, "\" is not enabled")),
                           "CA_DISABLED"),
          "creation.parent");
    }
  }
  ASSIGN_OR_RETURN(PrivateKey key, keys_.Generate(algorithm));
  if (parent) {
    const IssuanceRequest request{subject, {}, key.spki_der(), ca.not_before, ca.not_after};
    RETURN_IF_ERROR(InCreation(SignSubordinate(tx, *parent, profile, request, validate_only, actor, ca)));
    if (validate_only) return absl::OkStatus();
  } else {
    absl::StatusOr<base::Bytes> root = SelfSignCa(key, subject, ca.not_before, ca.not_after, profile);
    if (!root.ok()) return InCreation(root.status());
    ca.certificate = *std::move(root);
  }
  ASSIGN_OR_RETURN(base::Secret der, key.ToPkcs8Der());
  ASSIGN_OR_RETURN(ca.wrapped_key, keystore_.Wrap(der, CaKeyPurpose(ca.id)));
  return db::SetInternalCaCertificate(tx, ca);
}

absl::Status InternalCas::SignSubordinate(db::Tx& tx, const db::InternalCaRecord& parent,
                                          const Profile& profile, const IssuanceRequest& request,
                                          bool validate_only, const std::string& actor,
                                          db::InternalCaRecord& ca) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Issuer> issuer, issuers_.Get(parent));
  ASSIGN_OR_RETURN(IssuancePermit permit, issuer->Prepare(profile, request));
  const std::string subject = request.subject.Print();
  ASSIGN_OR_RETURN(bool taken, db::HasIssuedSubject(tx, parent.id, subject));
  if (taken) {
    return base::WithField(
        base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                             "\"", parent.display_name, "\" has issued to \"", subject, "\" already (C-09)")),
                         "SUBJECT_TAKEN"),
        "subject");
  }
  if (validate_only) return absl::OkStatus();
  db::CertificateRecord record;
  record.ca_id = parent.id;
  record.serial = permit.serial();
  record.kind = PrintCertificateKind(CertificateKind::kCa);
  record.subject = subject;
  record.not_before = permit.not_before();
  record.not_after = permit.not_after();
  record.tbs_digest = permit.tbs_digest();
  // Committed by itself: whatever becomes of the caller's transaction, the key was not used unrecorded.
  ASSIGN_OR_RETURN(std::vector<std::int64_t> ids,
                   database_.InTransactionReturning(
                       "ca_intent", [&](db::Tx& intent) -> absl::StatusOr<std::vector<std::int64_t>> {
                         RETURN_IF_ERROR(db::AppendAudit(
                             intent, {{actor, "key.use", Name(parent.id), "{\"certificates\": 1}"}}));
                         return db::InsertIntents(intent, {record});
                       }));
  ASSIGN_OR_RETURN(ca.certificate, issuer->Sign(std::move(permit)));
  ca.parent_id = parent.id;
  ca.chain = parent.chain;
  ca.chain.insert(ca.chain.begin(), parent.certificate);
  return db::StoreIssued(tx, ids, {ca.certificate}, {Sha256(ca.certificate)}, {base::Bytes()});
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
    ASSIGN_OR_RETURN(ca.id, db::InsertInternalCa(tx, wanted.display_name, wanted.description));
    if (wanted.creation) RETURN_IF_ERROR(Make(tx, *wanted.creation, wanted.validate_only, actor, ca));
    // The rehearsal of a subordinate is not signed, so there is nothing to enable.
    if (wanted.enable && !ca.certificate.empty()) RETURN_IF_ERROR(db::SetInternalCaEnabled(tx, ca.id, true));
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
    if (!ca.certificate.empty()) return HasCertificate("name");
    RETURN_IF_ERROR(Make(tx, creation, validate_only, actor, ca));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "ca.generate", Name(id)}}));
    ASSIGN_OR_RETURN(made, db::GetInternalCa(tx, id));
    return validate_only ? db::DryRunEnd() : absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<db::InternalCaRecord> InternalCas::Import(const CaImport& import, const std::string& actor) {
  absl::StatusOr<Pkcs12Contents> contents = ReadPkcs12(import.pkcs12, import.passphrase);
  if (!contents.ok()) {
    const bool passphrase = base::ReasonOf(contents.status()) == "WRONG_PASSPHRASE" ||
                            base::ReasonOf(contents.status()) == "PASSPHRASE_INVALID";
    return base::WithField(contents.status(), passphrase ? "passphrase" : "pkcs12");
  }
  ASSIGN_OR_RETURN(CertificateInfo info, ParseCertificate(contents->certificate));
  if (!info.is_ca) {
    return base::InvalidField("pkcs12", "NOT_A_CA",
                              "the certificate is an end-entity certificate (CA:FALSE)");
  }
  if (info.not_after <= clock_.Now()) {
    return base::InvalidField("pkcs12", "CA_EXPIRED", "the CA certificate has expired");
  }
  const std::vector<base::Bytes>& chain = contents->chain;
  RETURN_IF_ERROR(CheckComplete(info, chain));
  if (!chain.empty()) {
    absl::Status valid = VerifyChain(contents->certificate, chain, {chain.back()}, clock_.Now());
    if (!valid.ok()) {
      return base::InvalidField("pkcs12", base::ReasonOf(valid), std::string(valid.message()));
    }
  }
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
      ASSIGN_OR_RETURN(ca, db::LockInternalCa(tx, *known));
      if (!ca.certificate.empty()) return HasCertificate("display_name");
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
    absl::Status deleted = db::DeleteInternalCa(tx, id);
    if (!absl::IsFailedPrecondition(deleted)) return deleted;
    return base::WithReason(
        absl::FailedPreconditionError("the internal CA is in use: jobs name its certificates"), "CA_IN_USE");
  });
}

}  // namespace phonepki::ca
