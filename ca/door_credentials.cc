#include "ca/door_credentials.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/issuer.h"
#include "db/audit_repository.h"
#include "db/door_credential_repository.h"

namespace phonepki::ca {
namespace {

constexpr absl::Duration kBackdate = absl::Minutes(5);
constexpr absl::Duration kYear = absl::Hours(24 * 365);

bool IsIpAddress(const std::string& name) {
  unsigned char octets[16];
  return inet_pton(AF_INET, name.c_str(), octets) == 1 || inet_pton(AF_INET6, name.c_str(), octets) == 1;
}

absl::Status WriteFile(const std::string& path, std::string_view text, mode_t mode) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  const bool written = file >= 0 &&
                       write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       fsync(file) == 0;
  if (file >= 0) close(file);
  if (!written || rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::InternalError(absl::StrCat("cannot write ", path, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

// Empty when there is none.
std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

absl::StatusOr<DoorCredentials::Loaded> DoorCredentials::LoadOrMake(
    const std::string& door, absl::FunctionRef<absl::StatusOr<Loaded>()> make) {
  const std::string purpose = absl::StrCat("door-key:", door);
  for (int attempt = 0; attempt < 2; ++attempt) {
    ASSIGN_OR_RETURN(auto found, database_.InTransactionReturning("door_credential_find", [&](db::Tx& tx) {
      return db::FindDoorCredential(tx, door);
    }));
    if (found) {
      ASSIGN_OR_RETURN(base::Secret der, keystore_.Unwrap(found->wrapped_key, purpose));
      ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPkcs8Der(der));
      return Loaded{std::move(found->chain), std::move(key)};
    }
    ASSIGN_OR_RETURN(Loaded made, make());
    ASSIGN_OR_RETURN(base::Secret der, made.key.ToPkcs8Der());
    ASSIGN_OR_RETURN(base::Bytes wrapped, keystore_.Wrap(der, purpose));
    RETURN_IF_ERROR(database_.InTransaction("door_credential_insert", [&](db::Tx& tx) -> absl::Status {
      RETURN_IF_ERROR(db::InsertDoorCredential(tx, {door, made.chain, wrapped}));
      return db::AppendAudit(tx, {{"system", "door.credential", door}});
    }));
    // Another replica may have been first: what counts is what the database holds.
  }
  return absl::InternalError(absl::StrCat("the credential of door ", door, " was not stored"));
}

absl::StatusOr<DoorCredentials::Loaded> DoorCredentials::ApiCa() {
  return LoadOrMake("api-ca", [&]() -> absl::StatusOr<Loaded> {
    ASSIGN_OR_RETURN(PrivateKey key, keys_.Generate(KeyAlgorithm::kEcdsaP256));
    ASSIGN_OR_RETURN(DistinguishedName subject,
                     DistinguishedName::Parse("O=phonepki, CN=phonepki API CA", "subject"));
    const absl::Time not_before = clock_.Now() - kBackdate;
    const absl::Time not_after = std::min(not_before + 10 * kYear, kYear2038Limit);
    ASSIGN_OR_RETURN(base::Bytes certificate, SelfSignCa(key, subject, not_before, not_after, CaProfile()));
    return Loaded{{certificate}, std::move(key)};
  });
}

absl::StatusOr<DoorCredentials::Loaded> DoorCredentials::Issue(const Loaded& api_ca, KeyAlgorithm algorithm,
                                                               const std::string& common_name,
                                                               const std::vector<std::string>& names,
                                                               bool server) {
  ASSIGN_OR_RETURN(base::Secret ca_der, api_ca.key.ToPkcs8Der());
  ASSIGN_OR_RETURN(PrivateKey ca_key, PrivateKey::FromPkcs8Der(ca_der));
  ASSIGN_OR_RETURN(auto issuer, Issuer::Create(api_ca.chain.front(), std::move(ca_key), clock_));
  ASSIGN_OR_RETURN(PrivateKey key, keys_.Generate(algorithm));
  ASSIGN_OR_RETURN(DistinguishedName subject, DistinguishedName::Parse("O=phonepki, CN=x", "subject"));
  ASSIGN_OR_RETURN(subject, subject.WithCommonName(common_name, "subject"));
  SubjectAltNames alt_names;
  for (const std::string& name : names) (IsIpAddress(name) ? alt_names.ip : alt_names.dns).push_back(name);
  const absl::Time not_before = clock_.Now() - kBackdate;
  const absl::Time not_after = std::min(not_before + 5 * kYear, issuer->not_after());
  ASSIGN_OR_RETURN(
      IssuancePermit permit,
      issuer->Prepare(LeafProfile(server ? CertificateKind::kTlsServer : CertificateKind::kTlsClient),
                      {subject, alt_names, key.spki_der(), not_before, not_after}));
  ASSIGN_OR_RETURN(base::Bytes certificate, issuer->Sign(std::move(permit)));
  return Loaded{{certificate, api_ca.chain.front()}, std::move(key)};
}

absl::StatusOr<std::string> DoorCredentials::ApiCaPem() {
  ASSIGN_OR_RETURN(Loaded api_ca, ApiCa());
  return ToPem(api_ca.chain.front());
}

absl::StatusOr<DoorCredential> DoorCredentials::LoadOrCreate(const std::string& door, KeyAlgorithm algorithm,
                                                             const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(Loaded loaded, LoadOrMake(door, [&]() -> absl::StatusOr<Loaded> {
                     ASSIGN_OR_RETURN(Loaded api_ca, ApiCa());
                     return Issue(api_ca, algorithm, absl::StrCat("phonepki ", door), names, true);
                   }));
  DoorCredential credential;
  for (const base::Bytes& der : loaded.chain) credential.chain_pem += ToPem(der);
  ASSIGN_OR_RETURN(credential.key_pem, PrivateKeyToPem(loaded.key));
  return credential;
}

absl::Status DoorCredentials::WriteAdminCredential(const std::string& directory, const std::string& server) {
  const std::string context_file = directory + "/admin.context.json";
  const std::string context =
      absl::StrCat("{\n  \"server\": \"", server,
                   "\",\n  \"ca_file\": \"api-ca.pem\",\n  \"cert_file\": \"admin.crt.pem\",\n  "
                   "\"key_file\": \"admin.key.pem\"\n}\n");
  ASSIGN_OR_RETURN(std::string ca_pem, ApiCaPem());
  const std::string known = ReadFile(context_file);
  // Of another database, the credential would open no door.
  if (!known.empty() && ReadFile(directory + "/api-ca.pem") == ca_pem) {
    // The port may have changed since; an address that somebody wrote there stays.
    if (known == context || !absl::StrContains(known, "\"server\": \"127.0.0.1:")) return absl::OkStatus();
    return WriteFile(context_file, context, 0600);
  }
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::InternalError(absl::StrCat("cannot make ", directory, ": ", strerror(errno)));
  }
  ASSIGN_OR_RETURN(Loaded api_ca, ApiCa());
  ASSIGN_OR_RETURN(Loaded admin, Issue(api_ca, KeyAlgorithm::kEcdsaP256, "admin", {}, false));
  ASSIGN_OR_RETURN(base::Secret key, PrivateKeyToPem(admin.key));
  RETURN_IF_ERROR(WriteFile(directory + "/api-ca.pem", ToPem(api_ca.chain.front()), 0644));
  RETURN_IF_ERROR(WriteFile(directory + "/admin.crt.pem", ToPem(admin.chain.front()), 0644));
  RETURN_IF_ERROR(WriteFile(directory + "/admin.key.pem", key.view(), 0600));
  RETURN_IF_ERROR(database_.InTransaction("admin_credential", [&](db::Tx& tx) {
    return db::AppendAudit(tx, {{"system", "api.admin_credential", "clients/admin"}});
  }));
  return WriteFile(context_file, context, 0600);
}

}  // namespace phonepki::ca
