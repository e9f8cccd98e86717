// B-061 to B-064: what the door and the phones get from the credentials. The rest is in
// tests/e2e/secure_mode_test.py.
#include "provisioning/security/secure_credentials.h"

#include <map>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include "base/clock.h"
#include "ca/internal_cas.h"
#include "ca/x509/certificate.h"
#include "db/plugin_repository.h"
#include "tests/testing/postgres.h"

namespace phonepki::provisioning {
namespace {

using ::testing::ElementsAre;

class SecureCredentialsTest : public phonepki::testing::PostgresTest {
 protected:
  // A CA below `parent`, or a root, and a connector to it; returns the connector.
  std::int64_t MakePki(const std::string& name, std::optional<std::int64_t> parent = {}) {
    ca::NewCa wanted;
    wanted.display_name = name;
    wanted.enable = true;
    wanted.creation.emplace();
    wanted.creation->subject = absl::StrCat("O=Test, CN=", name);
    wanted.creation->key_algorithm = "ecdsa-p256";
    wanted.creation->not_after = clock_.Now() + absl::Hours(24 * (parent ? 2000 : 3000));
    wanted.creation->parent_id = parent;
    const auto ca = cas_.Create(wanted, "test");
    EXPECT_OK(ca);
    ca_ids_[name] = ca->id;
    return Do([&](db::Tx& tx) -> absl::StatusOr<std::int64_t> {
      const std::int64_t plugin = *db::InsertPlugin(tx, name, "");
      EXPECT_OK(db::ReplacePluginProperties(
          tx, plugin,
          {{property::kKeyAlgorithm, "ecdsa-p256"}, {property::kTemplate, "O=Test, OU={location}, CN=?"}}));
      EXPECT_OK(db::SetPluginEnabled(tx, plugin, true));
      db::ConnectorRecord connector;
      connector.display_name = name;
      connector.id = *db::InsertConnector(tx, connector);
      connector.plugin_id = plugin;
      connector.issuing_ca_id = ca->id;
      connector.trust_anchor = ca->chain.empty() ? ca->certificate : ca->chain.back();
      connector.enabled = true;
      EXPECT_OK(db::UpdateConnector(tx, connector));
      return connector.id;
    });
  }
  db::SecureCredentialRecord Create(const std::string& kind, std::int64_t connector) {
    const auto made = credentials_.Create({kind, connector, {}, false, ""}, "test");
    EXPECT_OK(made);
    return made.ok() ? *made : db::SecureCredentialRecord();
  }
  base::Bytes CertificateOf(const std::string& ca) {
    return Do([&](db::Tx& tx) { return db::GetInternalCa(tx, ca_ids_[ca]); }).certificate;
  }
  absl::StatusOr<std::int64_t> Connector() {
    return database().InTransactionReturning("t",
                                             [&](db::Tx& tx) { return credentials_.ClientConnector(tx); });
  }
  std::vector<base::Bytes> Parse(const std::string& pem) { return *ca::ParsePemCertificates(pem); }

  base::SystemClock clock_;
  const ca::Keystore keystore_{*ca::MasterKey::FromOctets(base::Secret(std::string(32, 'k')))};
  const ca::KeyGenerator keys_;
  ca::Issuers issuers_{keystore_, clock_};
  ca::InternalCas cas_{database(), keystore_, issuers_, keys_, clock_};
  Issuance issuance_{database(), keystore_, issuers_, keys_, clock_};
  SecureCredentials credentials_{database(), keystore_, issuance_, {"pki.example.net", "10.0.0.5"}};
  std::map<std::string, std::int64_t> ca_ids_;
};

TEST_F(SecureCredentialsTest, ADoorNeedsBothKindsOfCredentials) {
  const std::int64_t pki = MakePki("One");
  EXPECT_REASON(credentials_.LoadDoorIdentity(), "NO_SERVER_CREDENTIAL");
  Create("server", pki);
  EXPECT_REASON(credentials_.LoadDoorIdentity(), "NO_CLIENT_CREDENTIAL");
  Create("client", pki);
  EXPECT_OK(credentials_.LoadDoorIdentity());
}

TEST_F(SecureCredentialsTest, B061TheDoorPresentsTheActiveServerCredentialWithoutItsRoot) {
  MakePki("Root");
  const std::int64_t pki = MakePki("Middle", ca_ids_["Root"]);
  Create("client", pki);
  const db::SecureCredentialRecord first = Create("server", pki);
  auto identity = credentials_.LoadDoorIdentity();
  ASSERT_OK(identity);
  EXPECT_EQ(identity->credential_id, first.id);
  EXPECT_THAT(Parse(identity->chain_pem), ElementsAre(first.certificate, CertificateOf("Middle")));
  const auto info = ca::ParseCertificate(first.certificate);
  ASSERT_OK(info);
  EXPECT_EQ(info->subject, "O=Test, OU=Phone server, CN=pki.example.net");
  EXPECT_THAT(info->names.dns, ElementsAre("pki.example.net"));
  EXPECT_THAT(info->names.ip, ElementsAre("10.0.0.5"));
  EXPECT_OK(
      ca::VerifyChain(first.certificate, {CertificateOf("Middle")}, {CertificateOf("Root")}, clock_.Now()));
  const std::string_view key = identity->key_pem.view();
  EXPECT_EQ(key.substr(0, 27), "-----BEGIN PRIVATE KEY-----");

  const db::SecureCredentialRecord second = Create("server", pki);
  EXPECT_EQ(credentials_.LoadDoorIdentity()->credential_id, first.id);
  ASSERT_OK(credentials_.Activate(second.id, false, "test"));
  EXPECT_EQ(credentials_.LoadDoorIdentity()->credential_id, second.id);
  EXPECT_NE(*credentials_.Revision(), identity->revision);
  EXPECT_EQ(*credentials_.Revision(), credentials_.LoadDoorIdentity()->revision);
}

TEST_F(SecureCredentialsTest, AKeyDoesNotOpenInAnotherRow) {
  const std::int64_t pki = MakePki("One");
  Create("client", pki);
  Create("server", pki);
  Create("server", pki);
  Sql("UPDATE secure_credential SET wrapped_key = (SELECT wrapped_key FROM secure_credential WHERE kind = "
      "'server' AND NOT active) WHERE active AND kind = 'server'");
  EXPECT_REASON(credentials_.LoadDoorIdentity(), "KEYSTORE_BLOB_REFUSED");
}

TEST_F(SecureCredentialsTest, B064TheDoorTrustsAllClientCredentialsUntilTheyAreDeleted) {
  const std::int64_t old_pki = MakePki("Old"), new_pki = MakePki("New");
  Create("server", old_pki);
  const db::SecureCredentialRecord first = Create("client", old_pki);
  const db::SecureCredentialRecord second = Create("client", new_pki);
  EXPECT_EQ(*Connector(), old_pki);
  ASSERT_OK(credentials_.Activate(second.id, false, "test"));
  EXPECT_EQ(*Connector(), new_pki);
  EXPECT_THAT(credentials_.LoadDoorIdentity()->client_authorities,
              ElementsAre(CertificateOf("New"), CertificateOf("Old")));
  ASSERT_OK(credentials_.Delete(first.id, false, "test"));
  EXPECT_THAT(credentials_.LoadDoorIdentity()->client_authorities, ElementsAre(CertificateOf("New")));
}

TEST_F(SecureCredentialsTest, B064PhonesTrustTheActiveRootAndTheNewestOther) {
  const auto trust = [&] {
    return database().InTransactionReturning("t", [&](db::Tx& tx) { return credentials_.PhoneTrust(tx); });
  };
  EXPECT_REASON(trust(), "NO_SERVER_CREDENTIAL");
  const std::int64_t a = MakePki("A"), b = MakePki("B"), c = MakePki("C");
  Create("server", a);
  EXPECT_THAT(*trust(), ElementsAre(CertificateOf("A")));
  Create("server", a);
  EXPECT_THAT(*trust(), ElementsAre(CertificateOf("A"))) << "one root once";
  const db::SecureCredentialRecord middle = Create("server", b);
  EXPECT_THAT(*trust(), ElementsAre(CertificateOf("A"), CertificateOf("B")));
  Create("server", c);
  EXPECT_THAT(*trust(), ElementsAre(CertificateOf("A"), CertificateOf("C"))) << "a phone holds two";
  ASSERT_OK(credentials_.Activate(middle.id, false, "test"));
  EXPECT_THAT(*trust(), ElementsAre(CertificateOf("B"), CertificateOf("C")));
}

TEST_F(SecureCredentialsTest, AServerCredentialIsActivatedWhenAllSecurePhonesTrustItsRoot) {
  const std::int64_t old_pki = MakePki("Old"), new_pki = MakePki("New");
  Create("server", old_pki);
  const db::SecureCredentialRecord same_root = Create("server", old_pki), next = Create("server", new_pki);
  const base::Bytes old_root = ca::Sha256(CertificateOf("Old")), new_root = ca::Sha256(CertificateOf("New"));
  const auto add_phone = [&](int n, const char* state) {
    const auto device = Value<std::int64_t>(
        absl::StrCat("INSERT INTO device (mac, location_id, security_state) VALUES ('00:1A:E8:00:00:0", n,
                     "', 1, '", state, "') RETURNING id"));
    Sql(
        absl::StrCat("WITH c AS (INSERT INTO certificate (ca_id, serial, kind, state, subject, not_before, "
                     "not_after, tbs_digest, der, device_id, slot, job_id) VALUES (",
                     ca_ids_["Old"], ", '\\x4", n,
                     "', 'tls-client', 'active', 'CN=x', now(), now() + interval '1 day', 'x', "
                     "'x', ",
                     device, ", 'secure-mode', ", 100 + n,
                     ") RETURNING id, device_id, slot) "
                     "INSERT INTO device_slot (device_id, slot, active_id, active_at) "
                     "SELECT device_id, slot, id, now() FROM c"));
    return device;
  };
  const auto give = [&](int n, std::int64_t device, const std::vector<base::Bytes>& anchors) {
    Run([&](db::Tx& tx) { return db::RecordGivenTrust(tx, 100 + n, device, anchors); });
  };
  const std::int64_t first = add_phone(1, "secure"), second = add_phone(2, "secure");
  add_phone(3, "default");
  give(1, first, {old_root});
  const auto refusal = credentials_.Activate(next.id, false, "test");
  EXPECT_REASON(refusal, "CA_NOT_ON_PHONES");
  EXPECT_THAT(std::string(refusal.status().message()), ::testing::StartsWith("2 phones"));
  EXPECT_OK(credentials_.Activate(same_root.id, false, "test")) << "they trust this root already";
  give(2, second, {old_root, new_root});
  EXPECT_THAT(std::string(credentials_.Activate(next.id, false, "test").status().message()),
              ::testing::StartsWith("1 phones"));
  give(2, second, {old_root});  // once more, and nobody knows which of both it kept
  EXPECT_THAT(std::string(credentials_.Activate(next.id, false, "test").status().message()),
              ::testing::StartsWith("2 phones"));
  EXPECT_OK(credentials_.Activate(next.id, true, "test"));
  EXPECT_EQ(Value<std::string>("SELECT detail ->> 'forced_phones_without_ca' FROM audit_log WHERE action = "
                               "'secure_credential.activate' ORDER BY id DESC LIMIT 1"),
            "2");
}

}  // namespace
}  // namespace phonepki::provisioning
