#include "provisioning/security/secure_credentials.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/key.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"
#include "db/certificate_repository.h"
#include "db/location_repository.h"

namespace phonepki::provisioning {
namespace {

constexpr char kMethod[] = "CreateCredential";
constexpr int kMostCredentials = 1000;  // a handful is usual
constexpr std::int64_t kNewest = std::numeric_limits<std::int64_t>::max();

std::string Name(std::int64_t id) {
  return absl::StrCat("secureCredentials/", id);
}

std::string KeyPurpose(std::int64_t id) {
  return absl::StrCat("secure-server-key:", id);
}

absl::Status Refuse(const std::string& reason, const std::string& text) {
  return base::WithReason(absl::FailedPreconditionError(text), reason);
}

absl::StatusOr<std::vector<db::SecureCredentialRecord>> All(db::Tx& tx, const std::string& kind) {
  return db::ListSecureCredentials(tx, kind, kNewest, kMostCredentials);
}

absl::StatusOr<std::optional<std::int64_t>> Earlier(db::Tx& tx, const CredentialCreation& creation) {
  return db::FindApiRequest(tx, kMethod, creation.request_id);
}

absl::Status Record(db::Tx& tx, const CredentialCreation& creation,
                    const db::SecureCredentialRecord& credential, const std::string& actor) {
  RETURN_IF_ERROR(db::LockSecureCredentials(tx));
  RETURN_IF_ERROR(db::InsertSecureCredential(tx, credential));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "secure_credential.create", Name(credential.id)}}));
  return db::RecordApiRequest(tx, kMethod, creation.request_id, credential.id);
}

}  // namespace

absl::StatusOr<db::SecureCredentialRecord> SecureCredentials::Create(const CredentialCreation& creation,
                                                                     const std::string& actor) {
  ASSIGN_OR_RETURN(auto earlier,
                   database_.InTransactionReturning("secure_credential_earlier",
                                                    [&](db::Tx& tx) { return Earlier(tx, creation); }));
  if (earlier) {
    return database_.InTransactionReturning(
        "secure_credential_get", [&](db::Tx& tx) { return db::GetSecureCredential(tx, *earlier); });
  }
  return creation.kind == db::credential_kind::kServer ? CreateServer(creation, actor)
                                                       : CreateClient(creation, actor);
}

absl::StatusOr<db::SecureCredentialRecord> SecureCredentials::CreateServer(const CredentialCreation& creation,
                                                                           const std::string& actor) {
  std::vector<std::string> names = creation.server_names;
  if (names.empty()) {
    ASSIGN_OR_RETURN(names, database_.InTransactionReturning("secure_server_names", db::ListServerAddresses));
    names.insert(names.begin(), server_names_.begin(), server_names_.end());
  }
  ASSIGN_OR_RETURN(ServerCertificate issued,
                   issuance_.IssueForServer(creation.connector_id, names, creation.validate_only, actor));
  db::SecureCredentialRecord credential;
  credential.kind = creation.kind;
  credential.connector_id = creation.connector_id;
  credential.chain = std::move(issued.chain);
  if (creation.validate_only) return credential;
  credential.certificate_id = issued.certificate_id;
  ASSIGN_OR_RETURN(base::Secret key, issued.key.ToPkcs8Der());
  return database_.InTransactionReturning(
      "secure_credential_create", [&](db::Tx& tx) -> absl::StatusOr<db::SecureCredentialRecord> {
        RETURN_IF_ERROR(db::StoreIssued(tx, {issued.certificate_id}, {issued.certificate},
                                        {ca::Sha256(issued.certificate)}, {base::Bytes()}));
        ASSIGN_OR_RETURN(auto earlier, Earlier(tx, creation));
        if (earlier) {  // the same request was faster elsewhere: this certificate is of no use
          RETURN_IF_ERROR(db::DiscardCertificates(tx, {issued.certificate_id}));
          return db::GetSecureCredential(tx, *earlier);
        }
        ASSIGN_OR_RETURN(credential.id, db::NextSecureCredentialId(tx));
        ASSIGN_OR_RETURN(credential.wrapped_key, keystore_.Wrap(key, KeyPurpose(credential.id)));
        RETURN_IF_ERROR(Record(tx, creation, credential, actor));
        return db::GetSecureCredential(tx, credential.id);
      });
}

absl::StatusOr<db::SecureCredentialRecord> SecureCredentials::CreateClient(const CredentialCreation& creation,
                                                                           const std::string& actor) {
  if (!creation.server_names.empty()) {
    return base::InvalidField(
        "server_names", "SERVER_NAMES_NOT_FOR_CLIENT",
        "belong to server credentials: phones' certificates are named by the connector");
  }
  ASSIGN_OR_RETURN(IssuingCa ca, issuance_.GetIssuingCa(creation.connector_id));
  db::SecureCredentialRecord credential;
  credential.kind = creation.kind;
  credential.connector_id = creation.connector_id;
  credential.chain = std::move(ca.chain);
  if (creation.validate_only) return credential;
  return database_.InTransactionReturning("secure_credential_create",
                                          [&](db::Tx& tx) -> absl::StatusOr<db::SecureCredentialRecord> {
                                            ASSIGN_OR_RETURN(auto earlier, Earlier(tx, creation));
                                            if (earlier) return db::GetSecureCredential(tx, *earlier);
                                            ASSIGN_OR_RETURN(credential.id, db::NextSecureCredentialId(tx));
                                            RETURN_IF_ERROR(Record(tx, creation, credential, actor));
                                            return db::GetSecureCredential(tx, credential.id);
                                          });
}

absl::StatusOr<std::int64_t> SecureCredentials::CountLockedOut(db::Tx& tx,
                                                               const db::SecureCredentialRecord& credential) {
  if (credential.kind != db::credential_kind::kServer) return 0;
  ASSIGN_OR_RETURN(std::vector<db::SecureCredentialRecord> servers, All(tx, credential.kind));
  for (const db::SecureCredentialRecord& server : servers) {
    // Phones call it: they trust its root.
    if (server.active && server.chain.back() == credential.chain.back()) return 0;
  }
  return db::CountPhonesWithoutTrust(tx, ca::Sha256(credential.chain.back()));
}

absl::StatusOr<db::SecureCredentialRecord> SecureCredentials::Activate(std::int64_t id, bool force,
                                                                       const std::string& actor) {
  return database_.InTransactionReturning(
      "secure_credential_activate", [&](db::Tx& tx) -> absl::StatusOr<db::SecureCredentialRecord> {
        RETURN_IF_ERROR(db::LockSecureCredentials(tx));
        ASSIGN_OR_RETURN(db::SecureCredentialRecord credential,
                         base::WithField(db::GetSecureCredential(tx, id), "name"));
        if (credential.active) return credential;
        ASSIGN_OR_RETURN(std::int64_t locked_out, CountLockedOut(tx, credential));
        if (locked_out > 0 && !force) {
          return Refuse("CA_NOT_ON_PHONES",
                        absl::StrCat(locked_out,
                                     " phones in secure mode were not given the root CA of this credential "
                                     "and would not trust the server any more; renew their credentials by a "
                                     "secure-mode deployment while this is the newest server credential, "
                                     "then activate it; or force"));
        }
        RETURN_IF_ERROR(db::ActivateSecureCredential(tx, credential));
        RETURN_IF_ERROR(db::AppendAudit(
            tx,
            {{actor, "secure_credential.activate", Name(id),
              locked_out > 0 ? absl::StrCat("{\"forced_phones_without_ca\": ", locked_out, "}") : "{}"}}));
        return db::GetSecureCredential(tx, id);
      });
}

absl::Status SecureCredentials::Delete(std::int64_t id, bool force, const std::string& actor) {
  return database_.InTransaction("secure_credential_delete", [&](db::Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(db::LockSecureCredentials(tx));
    ASSIGN_OR_RETURN(db::SecureCredentialRecord credential,
                     base::WithField(db::GetSecureCredential(tx, id), "name"));
    ASSIGN_OR_RETURN(std::int64_t count, db::CountSecureCredentials(tx, credential.kind));
    if (count == 1) {
      return Refuse("CREDENTIAL_LAST", absl::StrCat("this is the last ", credential.kind,
                                                    " credential; create and activate another one first"));
    }
    if (credential.active) {
      return Refuse("CREDENTIAL_ACTIVE",
                    absl::StrCat("this ", credential.kind,
                                 " credential is the active one; activate another one first"));
    }
    if (credential.kind == db::credential_kind::kClient && !force) {
      ASSIGN_OR_RETURN(std::int64_t phones, db::CountPhonesOfCredential(tx, credential));
      if (phones > 0) {
        return Refuse(
            "CREDENTIAL_IN_USE",
            absl::StrCat(phones,
                         " phones in secure mode hold certificates that only this credential vouches "
                         "for and would be locked out; enrol them anew first, or force"));
      }
    }
    RETURN_IF_ERROR(db::DeleteSecureCredential(tx, credential));
    return db::AppendAudit(tx, {{actor, "secure_credential.delete", Name(id)}});
  });
}

absl::StatusOr<std::vector<db::SecureCredentialRecord>> SecureCredentials::ListWithActive(
    db::Tx& tx, const std::string& kind, const std::string& reason) {
  ASSIGN_OR_RETURN(std::vector<db::SecureCredentialRecord> credentials, All(tx, kind));
  std::stable_partition(credentials.begin(), credentials.end(),
                        [](const db::SecureCredentialRecord& credential) { return credential.active; });
  if (credentials.empty() || !credentials.front().active) {
    return Refuse(reason, absl::StrCat("secure mode needs an active ", kind, " credential; create one"));
  }
  return credentials;
}

absl::StatusOr<DoorIdentity> SecureCredentials::LoadDoorIdentity() {
  std::vector<db::SecureCredentialRecord> servers, clients;
  DoorIdentity identity;
  RETURN_IF_ERROR(database_.InTransaction("secure_door_identity", [&](db::Tx& tx) -> absl::Status {
    // First: what changes after it makes the door look again.
    ASSIGN_OR_RETURN(identity.revision, db::SecureCredentialRevision(tx));
    ASSIGN_OR_RETURN(servers, ListWithActive(tx, db::credential_kind::kServer, "NO_SERVER_CREDENTIAL"));
    ASSIGN_OR_RETURN(clients, ListWithActive(tx, db::credential_kind::kClient, "NO_CLIENT_CREDENTIAL"));
    return absl::OkStatus();
  }));
  const db::SecureCredentialRecord& own = servers.front();
  identity.credential_id = own.id;
  identity.chain_pem = ca::ToPem(own.certificate);
  for (std::size_t i = 0; i + 1 < own.chain.size(); ++i) identity.chain_pem += ca::ToPem(own.chain[i]);
  ASSIGN_OR_RETURN(base::Secret der, keystore_.Unwrap(own.wrapped_key, KeyPurpose(own.id)));
  ASSIGN_OR_RETURN(ca::PrivateKey key, ca::PrivateKey::FromPkcs8Der(der));
  ASSIGN_OR_RETURN(identity.key_pem, ca::PrivateKeyToPem(key));
  std::vector<base::Bytes>& trusted = identity.client_authorities;
  for (const db::SecureCredentialRecord& client : clients) {
    for (const base::Bytes& certificate : client.chain) {
      if (std::find(trusted.begin(), trusted.end(), certificate) == trusted.end()) {
        trusted.push_back(certificate);
      }
    }
  }
  return identity;
}

absl::StatusOr<std::string> SecureCredentials::Revision() {
  return database_.InTransactionReturning("secure_credential_revision", db::SecureCredentialRevision);
}

absl::StatusOr<std::vector<base::Bytes>> SecureCredentials::PhoneTrust(db::Tx& tx) {
  ASSIGN_OR_RETURN(std::vector<db::SecureCredentialRecord> servers,
                   ListWithActive(tx, db::credential_kind::kServer, "NO_SERVER_CREDENTIAL"));
  std::vector<base::Bytes> roots;
  for (const db::SecureCredentialRecord& server : servers) {
    const base::Bytes& root = server.chain.back();
    if (std::find(roots.begin(), roots.end(), root) == roots.end()) roots.push_back(root);
    if (roots.size() == kMaxPhoneTrust) break;
  }
  return roots;
}

absl::StatusOr<std::int64_t> SecureCredentials::ClientConnector(db::Tx& tx) {
  ASSIGN_OR_RETURN(std::vector<db::SecureCredentialRecord> clients,
                   ListWithActive(tx, db::credential_kind::kClient, "NO_CLIENT_CREDENTIAL"));
  return clients.front().connector_id;
}

}  // namespace phonepki::provisioning
