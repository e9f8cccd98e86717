#include "db/secure_mode_repository.h"

#include <limits>
#include <set>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include "db/deployment_repository.h"
#include "db/device_repository.h"
#include "tests/db/db_fixture.h"

namespace phonepki::db {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kNewest = std::numeric_limits<std::int64_t>::max();
const base::Bytes kPin = {1, 2, 3};
const base::Bytes kOtherPin = {4, 5, 6};

class SecureModeRepositoryTest : public DbFixture {
 protected:
  std::int64_t AddCredential(const std::string& kind) {
    SecureCredentialRecord credential;
    credential.kind = kind;
    credential.connector_id = connector_id();
    credential.chain = {{0x30, 0x02}, {0x30, 0x03}};
    if (kind == credential_kind::kServer) {
      credential.certificate_id = AddIssued(0);
      credential.wrapped_key = {7, 7};
    }
    Run([&](Tx& tx) -> absl::Status {
      EXPECT_OK(LockSecureCredentials(tx));
      credential.id = *NextSecureCredentialId(tx);
      return InsertSecureCredential(tx, credential);
    });
    return credential.id;
  }
  SecureCredentialRecord Get(std::int64_t id) {
    return Do([&](Tx& tx) { return GetSecureCredential(tx, id); });
  }
  void Activate(std::int64_t id) {
    Run([&](Tx& tx) { return ActivateSecureCredential(tx, *GetSecureCredential(tx, id)); });
  }
  std::vector<std::int64_t> Ids(const std::string& kind, std::int64_t before = kNewest, int limit = 100) {
    std::vector<std::int64_t> ids;
    for (const auto& credential :
         Do([&](Tx& tx) { return ListSecureCredentials(tx, kind, before, limit); })) {
      ids.push_back(credential.id);
    }
    return ids;
  }
  SecurityPinRecord PinOf(std::int64_t device) {
    auto pins = Do([&](Tx& tx) { return FindDevicePins(tx, {device}); });
    EXPECT_THAT(pins, SizeIs(1));
    return pins.empty() ? SecurityPinRecord() : pins[0];
  }
  void AddPin(std::int64_t device, const base::Bytes& pin, absl::Duration lifetime = absl::Hours(1)) {
    Run([&](Tx& tx) { return InsertDevicePins(tx, {device}, {pin}, lifetime); });
  }
  void SetState(std::int64_t device, const std::string& state, const std::string& text = "why") {
    Run([&](Tx& tx) { return SetSecurityState(tx, {device}, state, text); });
  }
};

TEST_F(SecureModeRepositoryTest, B061TheFirstCredentialOfAKindIsActive) {
  const std::int64_t server = AddCredential("server");
  const std::int64_t second = AddCredential("server");
  const std::int64_t client = AddCredential("client");
  EXPECT_TRUE(Get(server).active);
  EXPECT_FALSE(Get(second).active);
  EXPECT_TRUE(Get(client).active);
  const SecureCredentialRecord stored = Get(server);
  EXPECT_EQ(stored.kind, "server");
  EXPECT_EQ(stored.connector_display_name, "Connector");
  EXPECT_EQ(stored.certificate, (base::Bytes{0x30, 0x01}));
  EXPECT_EQ(stored.wrapped_key, (base::Bytes{7, 7}));
  EXPECT_THAT(stored.chain, ElementsAre(base::Bytes{0x30, 0x02}, base::Bytes{0x30, 0x03}));
  EXPECT_FALSE(Get(client).certificate_id.has_value());
  EXPECT_CODE(database().InTransactionReturning("t", [](Tx& tx) { return GetSecureCredential(tx, 999); }),
              kNotFound);
}

TEST_F(SecureModeRepositoryTest, B064CredentialsCoexistAndOneOfEachKindIsActive) {
  const std::int64_t first = AddCredential("server");
  const std::int64_t second = AddCredential("server");
  const std::int64_t client = AddCredential("client");
  Activate(second);
  EXPECT_FALSE(Get(first).active);
  EXPECT_TRUE(Get(second).active);
  EXPECT_TRUE(Get(client).active);
  EXPECT_EQ(Value<int>("SELECT count(*) FROM secure_credential WHERE active"), 2);
  EXPECT_THAT(Ids(""), ElementsAre(client, second, first));
  EXPECT_THAT(Ids("server"), ElementsAre(second, first));
  EXPECT_THAT(Ids("", client, 1), ElementsAre(second));
  EXPECT_EQ(Do([](Tx& tx) { return CountSecureCredentials(tx, "server"); }), 2);
}

TEST_F(SecureModeRepositoryTest, B063ADeletedServerCredentialLeavesASupersededCertificate) {
  AddCredential("server");
  const std::int64_t second = AddCredential("server");
  const std::int64_t certificate = *Get(second).certificate_id;
  Run([&](Tx& tx) { return DeleteSecureCredential(tx, *GetSecureCredential(tx, second)); });
  EXPECT_THAT(Ids(""), SizeIs(1));
  EXPECT_EQ(Do([&](Tx& tx) { return GetCertificate(tx, certificate); }).state, "superseded");
  const std::int64_t client = AddCredential("client");
  Run([&](Tx& tx) { return DeleteSecureCredential(tx, *GetSecureCredential(tx, client)); });
  EXPECT_THAT(Ids("client"), IsEmpty());
}

TEST_F(SecureModeRepositoryTest, TheRevisionTellsEveryChange) {
  std::set<std::string> seen;
  const auto look = [&] { return seen.insert(Do(SecureCredentialRevision)).second; };
  EXPECT_TRUE(look());
  EXPECT_FALSE(look());
  AddCredential("server");
  EXPECT_TRUE(look());
  const std::int64_t second = AddCredential("server");
  EXPECT_TRUE(look());
  Activate(second);
  EXPECT_TRUE(look());
  Run([&](Tx& tx) { return DeleteSecureCredential(tx, *GetSecureCredential(tx, second)); });
  EXPECT_TRUE(look());
}

TEST_F(SecureModeRepositoryTest, AClientCertificateNamesItsPhone) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t wbm = AddIssued(device);
  const std::int64_t client = AddIssued(device);
  const base::Bytes digest(32, 5);
  Sql(
      absl::StrCat("UPDATE certificate SET kind = 'tls-client', slot = 'secure-mode', state = 'active', "
                   "sha256 = decode(repeat('05', 32), 'hex') WHERE id = ",
                   client));
  const auto find = [&](const base::Bytes& sha256) {
    return Do([&](Tx& tx) { return FindClientCertificate(tx, sha256); });
  };
  const auto found = find(digest);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->certificate_id, client);
  EXPECT_EQ(found->ca_id, ca_id());
  EXPECT_EQ(found->device_id, device);
  EXPECT_EQ(found->mac, "00:1A:E8:00:00:01");
  EXPECT_EQ(found->slot, "secure-mode");
  EXPECT_EQ(found->state, "active");
  EXPECT_EQ(found->security_state, "default");
  EXPECT_FALSE(found->expired);
  EXPECT_FALSE(find(base::Bytes(32, 6)).has_value());
  EXPECT_EQ(Do([&](Tx& tx) { return GetCertificate(tx, wbm); }).sha256, base::Bytes(32, 9));
  EXPECT_FALSE(find(base::Bytes(32, 9)).has_value()) << "a server certificate authenticates nobody";
  Sql("UPDATE certificate SET not_after = now(), not_before = now() - interval '1 day'");
  EXPECT_TRUE(find(digest)->expired);
  Sql("DELETE FROM device");
  EXPECT_FALSE(find(digest).has_value());
}

TEST_F(SecureModeRepositoryTest, B065ThereIsOneDefaultPinAndItDoesNotExpire) {
  EXPECT_FALSE(Do(FindDefaultPin).has_value());
  Run([](Tx& tx) { return InsertDefaultPin(tx, kPin); });
  Run([](Tx& tx) { return InsertDefaultPin(tx, kOtherPin); });
  EXPECT_EQ(Do(FindDefaultPin)->wrapped_pin, kPin) << "the first of two replicas wins";
  Run([](Tx& tx) { return ReplaceDefaultPin(tx, kOtherPin); });
  const auto pin = Do(FindDefaultPin);
  EXPECT_EQ(pin->wrapped_pin, kOtherPin);
  EXPECT_FALSE(pin->device_id.has_value());
  EXPECT_FALSE(pin->expires_at.has_value());
  EXPECT_FALSE(pin->expired);
  EXPECT_EQ(Do([](Tx& tx) { return SweepExpiredPins(tx, 10); }), 0);
  EXPECT_EQ(Value<int>("SELECT count(*) FROM security_pin"), 1);
}

TEST_F(SecureModeRepositoryTest, AnIndividualPinStaysUntilItExpires) {
  const std::int64_t device = AddDevice(1);
  AddPin(device, kPin);
  AddPin(device, kOtherPin);
  EXPECT_EQ(PinOf(device).wrapped_pin, kPin);
  EXPECT_FALSE(PinOf(device).expired);
  EXPECT_TRUE(PinOf(device).expires_at.has_value());
  Sql("UPDATE security_pin SET expires_at = now() - interval '1 second', viewed_at = now()");
  EXPECT_TRUE(PinOf(device).expired);
  EXPECT_THAT(Do([&](Tx& tx) { return MarkDevicePinsViewed(tx, {device}); }), IsEmpty());
  AddPin(device, kOtherPin);
  EXPECT_EQ(PinOf(device).wrapped_pin, kOtherPin);
  EXPECT_FALSE(PinOf(device).viewed_at.has_value());
}

TEST_F(SecureModeRepositoryTest, APinIsViewedOnce) {
  const std::int64_t first = AddDevice(1), second = AddDevice(2), third = AddDevice(3);
  Run([&](Tx& tx) { return InsertDevicePins(tx, {first, second}, {kPin, kOtherPin}, absl::Hours(1)); });
  const auto view = [&] {
    return Do([&](Tx& tx) { return MarkDevicePinsViewed(tx, {first, second, third}); });
  };
  EXPECT_THAT(view(), ::testing::UnorderedElementsAre(first, second));
  EXPECT_THAT(view(), IsEmpty());
  Run([&](Tx& tx) { return ReplaceDevicePin(tx, first, kOtherPin, absl::Hours(1)); });
  EXPECT_THAT(view(), ElementsAre(first));
}

TEST_F(SecureModeRepositoryTest, ExpiredPinsAreSweptAwayAndPinsGoWithTheirDevice) {
  AddPin(AddDevice(1), kPin);
  AddPin(AddDevice(2), kPin);
  Sql("UPDATE security_pin SET expires_at = now() WHERE device_id = (SELECT min(id) FROM device)");
  EXPECT_EQ(Do([](Tx& tx) { return SweepExpiredPins(tx, 10); }), 1);
  const auto device = Value<std::int64_t>("SELECT max(id) FROM device");
  Run([&](Tx& tx) { return DeleteDevicePin(tx, device); });
  AddPin(device, kPin);
  Sql("DELETE FROM device");
  EXPECT_EQ(Value<int>("SELECT count(*) FROM security_pin"), 0);
}

TEST_F(SecureModeRepositoryTest, AnEnrolmentEndsWithThePinThatItAwaits) {
  const std::int64_t doomed = AddJob(1), by_default = AddJob(2), not_yet = AddJob(3), scheduled = AddJob(4);
  for (const std::int64_t job : {doomed, by_default, not_yet, scheduled}) {
    const std::int64_t certificate = AddIssued(DeviceOf(job), job);
    AddPin(DeviceOf(job), kPin, job == not_yet ? absl::Hours(1) : -absl::Seconds(1));
    Sql(absl::StrCat("UPDATE job SET slot = 'secure-mode', certificate_id = ", certificate,
                     job == scheduled ? "" : ", state = 'verifying', reason = 'AWAITING_PIN'",
                     " WHERE id = ", job));
    SetState(DeviceOf(job), job == scheduled ? "default" : "awaiting_pin");
    Sql(absl::StrCat("UPDATE deployment SET slot = 'secure-mode', pin_mode = '",
                     job == by_default ? "default" : "individual",
                     "' WHERE id = (SELECT deployment_id FROM job WHERE id = ", job, ")"));
  }
  EXPECT_EQ(Do([](Tx& tx) { return SweepExpiredPins(tx, 10); }), 3);
  EXPECT_EQ(Job(doomed).state, "failed");
  EXPECT_EQ(Job(doomed).reason, "PIN_EXPIRED");
  EXPECT_EQ(Do([&](Tx& tx) { return GetCertificate(tx, *Job(doomed).certificate_id); }).state, "discarded");
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, DeviceOf(doomed)); }).state, "default");
  EXPECT_EQ(Job(by_default).state, "verifying") << "it awaits the default PIN";
  EXPECT_EQ(Job(not_yet).state, "verifying");
  EXPECT_EQ(Job(scheduled).state, "scheduled") << "it gets a PIN when its turn comes";
  EXPECT_EQ(Do([](Tx& tx) { return SweepExpiredPins(tx, 10); }), 0);
}

TEST_F(SecureModeRepositoryTest, B067EveryChangeOfStateIsInTheProtocol) {
  const std::int64_t device = AddDevice(1), other = AddDevice(2);
  Run([&](Tx& tx) { return SetSecurityState(tx, {device, other}, "enrolling", "credentials written"); });
  SetState(device, "awaiting_pin", "waits for its PIN");
  Run([&](Tx& tx) { return AppendSecurityStateEvent(tx, device, "a wrong PIN"); });
  const auto events = Do([&](Tx& tx) { return ListSecurityStateEvents(tx, device, kNewest, 10); });
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[0].state, "awaiting_pin");
  EXPECT_EQ(events[0].text, "a wrong PIN");
  EXPECT_EQ(events[1].text, "waits for its PIN");
  EXPECT_EQ(events[2].state, "enrolling");
  EXPECT_THAT(Do([&](Tx& tx) { return ListSecurityStateEvents(tx, device, events[0].id, 1); }), SizeIs(1));
  EXPECT_THAT(Do([&](Tx& tx) { return ListSecurityStateEvents(tx, other, kNewest, 10); }), SizeIs(1));
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, device); }).state, "awaiting_pin");
  EXPECT_CODE(
      database().InTransaction("t", [&](Tx& tx) { return SetSecurityState(tx, {device}, "wonderful", ""); }),
      kInvalidArgument);
}

TEST_F(SecureModeRepositoryTest, WrongTansAreCounted) {
  const std::int64_t device = AddDevice(1);
  const auto fail = [&] { return Do([&](Tx& tx) { return IncrementTanFailures(tx, device); }); };
  EXPECT_EQ(fail(), 1);
  EXPECT_EQ(fail(), 2);
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, device); }).tan_failures, 2);
  Run([&](Tx& tx) { return ResetTanFailures(tx, device); });
  EXPECT_EQ(fail(), 1);
}

TEST_F(SecureModeRepositoryTest, SecurityEventsAreListedByMacOrAll) {
  const auto append = [&](const std::string& kind, const std::string& mac, const std::string& detail = "") {
    Run([&](Tx& tx) { return AppendSecurityEvent(tx, {0, {}, kind, "secure", "10.0.0.9", mac, detail}); });
  };
  append("CERTIFICATE_UNKNOWN", "");
  append("MAC_MISMATCH", "00:1A:E8:00:00:01", std::string(2000, 'x'));
  append("TAN_WRONG", "00:1A:E8:00:00:02");
  const auto list = [&](const std::string& mac, std::int64_t before = kNewest, int limit = 10) {
    std::vector<std::string> kinds;
    for (const auto& event : Do([&](Tx& tx) { return ListSecurityEvents(tx, mac, before, limit); })) {
      kinds.push_back(event.kind);
    }
    return kinds;
  };
  EXPECT_THAT(list(""), ElementsAre("TAN_WRONG", "MAC_MISMATCH", "CERTIFICATE_UNKNOWN"));
  EXPECT_THAT(list("00:1A:E8:00:00:01"), ElementsAre("MAC_MISMATCH"));
  EXPECT_THAT(list("", kNewest, 1), ElementsAre("TAN_WRONG"));
  const auto event = Do([&](Tx& tx) { return ListSecurityEvents(tx, "00:1A:E8:00:00:01", kNewest, 1); })[0];
  EXPECT_EQ(event.door, "secure");
  EXPECT_EQ(event.address, "10.0.0.9");
  EXPECT_EQ(event.detail.size(), 500u);
}

TEST_F(SecureModeRepositoryTest, PhonesAreListedByState) {
  const std::int64_t a = AddDevice(1), b = AddDevice(2), c = AddDevice(3);
  AddDevice(4);
  SetState(b, "awaiting_pin");
  SetState(a, "secure", "first");
  SetState(a, "secure", "second");
  SetState(c, "secure");
  const auto list = [&](const std::string& state, const std::string& after_state,
                        const std::string& after_mac, int limit) {
    std::vector<std::int64_t> ids;
    for (const auto& device :
         Do([&](Tx& tx) { return ListSecureDevices(tx, state, after_state, after_mac, limit); })) {
      ids.push_back(device.device_id);
    }
    return ids;
  };
  EXPECT_THAT(list("", "", "", 10), ElementsAre(b, a, c));
  EXPECT_THAT(list("", "secure", "00:1A:E8:00:00:01", 10), ElementsAre(c));
  EXPECT_THAT(list("", "awaiting_pin", "00:1A:E8:00:00:02", 1), ElementsAre(a));
  EXPECT_THAT(list("secure", "", "00:1A:E8:00:00:01", 10), ElementsAre(c));
  const auto first = Do([&](Tx& tx) { return ListSecureDevices(tx, "secure", "", "", 1); })[0];
  EXPECT_EQ(first.mac, "00:1A:E8:00:00:01");
  EXPECT_EQ(first.last_text, "second");
  EXPECT_EQ(first.location_display_name, "Default");
  EXPECT_TRUE(first.changed_at.has_value());
}

TEST_F(SecureModeRepositoryTest, B068LeavingEndsWhateverIsLiveForTheSlotAndNothingElse) {
  const std::int64_t job = AddJob(1), other_job = AddJob(2);
  const std::int64_t device = DeviceOf(job), other = DeviceOf(other_job);
  const std::int64_t active = AddIssued(device), issued = AddIssued(device, job), intent = AddIntent(device);
  const std::int64_t wbm = AddIssued(device), others = AddIssued(other);
  Sql(absl::StrCat("UPDATE job SET slot = 'secure-mode' WHERE id IN (", job, ", ", other_job, ")"));
  const auto wbm_job = Sql(absl::StrCat(
      "INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline) SELECT deployment_id, "
      "device_id, location_id, 'wbm', run_at, deadline FROM job WHERE id = ",
      job, " RETURNING id"))[0][0]
                           .as<std::int64_t>();
  Sql(absl::StrCat("UPDATE certificate SET slot = 'secure-mode' WHERE id <> ", wbm));
  Sql(absl::StrCat("UPDATE certificate SET state = 'active' WHERE id = ", active));
  Sql(absl::StrCat("INSERT INTO device_slot (device_id, slot, active_id, active_at) VALUES (", device,
                   ", 'secure-mode', ", active, ", now())"));
  Sql("UPDATE device SET tan_failures = 2, knock_expires_at = now() + interval '1 hour'");
  SetState(device, "desynchronised");
  SetState(other, "secure");
  const LeftSecureMode left = Do([&](Tx& tx) { return LeaveSecureMode(tx, {device}, "out"); });
  EXPECT_EQ(left.revoked_certificates, 2);
  EXPECT_EQ(left.cancelled_jobs, 1);
  const auto state = [&](std::int64_t id) {
    return Do([&](Tx& tx) { return GetCertificate(tx, id); }).state;
  };
  EXPECT_EQ(state(active), "revoked");
  EXPECT_EQ(state(issued), "revoked");
  EXPECT_EQ(state(intent), "discarded");
  EXPECT_EQ(state(wbm), "issued");
  EXPECT_EQ(state(others), "issued");
  EXPECT_EQ(Job(job).state, "cancelled");
  EXPECT_EQ(Job(wbm_job).state, "scheduled");
  EXPECT_EQ(Job(other_job).state, "scheduled");
  const DeviceSecurityRecord security = Do([&](Tx& tx) { return GetDeviceSecurity(tx, device); });
  EXPECT_EQ(security.state, "default");
  EXPECT_EQ(security.tan_failures, 0);
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, other); }).state, "secure");
  EXPECT_EQ(Do([&](Tx& tx) { return ListSecurityStateEvents(tx, device, kNewest, 1); }).at(0).text, "out");
  EXPECT_FALSE(Do([&](Tx& tx) { return LockDevicesByMac(tx, {"00:1A:E8:00:00:01"}); }).at(0).knock_valid);
  EXPECT_FALSE(Do([&](Tx& tx) { return GetSlots(tx, device); }).at(0).active.has_value());
}

// By the way in which an unfinished enrolment ends without success.
class EnrolmentEndTest : public SecureModeRepositoryTest, public ::testing::WithParamInterface<const char*> {
 protected:
  std::int64_t AddEnrolment(int n, const std::string& state) {
    const std::int64_t job = AddJob(n);
    Sql(
        absl::StrCat("UPDATE job SET slot = 'secure-mode', state = 'verifying', "
                     "reason = 'AWAITING_SECURE_CONTACT' WHERE id = ",
                     job));
    SetState(DeviceOf(job), state, "credentials are on the phone");
    return job;
  }
  // What the protocol says of it.
  std::string End(std::int64_t job) {
    const std::string way = GetParam();
    if (way == "TimeOut") {
      Sql(absl::StrCat("UPDATE job SET deadline = now() WHERE id = ", job));
      EXPECT_EQ(Do([](Tx& tx) { return TimeOutJobs(tx, 10); }), 1);
      return "timed out): not finished by its deadline; last: AWAITING_SECURE_CONTACT ";
    }
    if (way == "Cancellation") {
      EXPECT_TRUE(Do([&](Tx& tx) { return CancelJob(tx, job, ""); }));
      return "cancelled): CANCELLED_BY_OPERATOR";
    }
    if (way == "Superseding") {
      const std::int64_t next = AddDeployment();
      Sql(absl::StrCat("UPDATE deployment SET slot = (SELECT slot FROM job WHERE id = ", job,
                       ") WHERE id = ", next));
      EXPECT_GE(Do([&](Tx& tx) { return StartDeployment(tx, next); }), 1);
      return absl::StrCat("superseded): deployments/", next, " deploys to the same slot");
    }
    EXPECT_THAT(Release({job, Job(job).attempt}, "failed"), SizeIs(1));
    return "failed): text";
  }
  std::vector<std::string> Protocol(std::int64_t device) {
    std::vector<std::string> lines;
    for (const auto& event : Do([&](Tx& tx) { return ListSecurityStateEvents(tx, device, kNewest, 10); })) {
      lines.push_back(absl::StrCat(event.state, ": ", event.text));
    }
    return lines;
  }
};

TEST_P(EnrolmentEndTest, ThePhoneIsWhereItWasAndTheProtocolSaysWhy) {
  int device_count = 0;
  for (const char* state : {"enrolling", "awaiting_pin"}) {
    const std::int64_t job = AddEnrolment(1 + device_count++, state), device = DeviceOf(job);
    const std::string why = End(job);
    EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, device); }).state, "default");
    const std::vector<std::string> lines = Protocol(device);
    ASSERT_THAT(lines, SizeIs(2));
    EXPECT_EQ(lines[0], absl::StrCat("default: the enrolment ended (", why));
  }
}

TEST_P(EnrolmentEndTest, APhoneWhoseRenewalEndedStaysSecure) {
  const std::int64_t job = AddEnrolment(1, "secure"), device = DeviceOf(job);
  const std::string why = End(job);
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, device); }).state, "secure");
  EXPECT_EQ(Protocol(device).at(0), absl::StrCat("secure: the renewal ended (", why));
}

TEST_P(EnrolmentEndTest, OtherStatesAndOtherSlotsAreLeftAlone) {
  const std::int64_t reset = AddEnrolment(1, "pin_exhausted"), other = AddEnrolment(2, "enrolling");
  Sql(absl::StrCat("UPDATE job SET slot = 'wbm' WHERE id = ", other));
  for (const std::int64_t job : {reset, other}) {
    End(job);
    EXPECT_TRUE(Job(job).finished_at.has_value());
    EXPECT_THAT(Protocol(DeviceOf(job)), SizeIs(1));
  }
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceSecurity(tx, DeviceOf(other)); }).state, "enrolling");
}

INSTANTIATE_TEST_SUITE_P(Ways, EnrolmentEndTest,
                         ::testing::Values("TimeOut", "Cancellation", "Superseding", "Failure"),
                         [](const auto& info) { return std::string(info.param); });

// The phone calls with the certificate of an enrolment that has ended.

TEST_F(SecureModeRepositoryTest, AnEndedEnrolmentIsFoundByItsCertificateAndGoesOn) {
  const std::int64_t job = AddJob(1), device = DeviceOf(job), certificate = AddIssued(device, job);
  const auto find = [&] { return Do([&](Tx& tx) { return FindEndedEnrolment(tx, device, certificate); }); };
  Sql("UPDATE deployment SET slot = 'secure-mode', pin_mode = 'none'");
  Sql(absl::StrCat("UPDATE job SET slot = 'secure-mode', certificate_id = ", certificate));
  EXPECT_FALSE(find().has_value()) << "it has not ended";
  Sql("UPDATE job SET deadline = now()");
  ASSERT_EQ(Do([](Tx& tx) { return TimeOutJobs(tx, 10); }), 1);
  ASSERT_TRUE(find().has_value());
  EXPECT_EQ(find()->job_id, job);
  EXPECT_EQ(find()->state, "timed_out");
  EXPECT_EQ(find()->pin_mode, "none");
  Run([&](Tx& tx) { return ResumeEnrolment(tx, job); });
  EXPECT_EQ(Job(job).state, "verifying");
  EXPECT_EQ(Value<int>("SELECT count(*) FROM job WHERE deadline > now() AND run_at > deadline"), 1);
  EXPECT_FALSE(find().has_value());
  ASSERT_TRUE(Do([&](Tx& tx) { return CancelJob(tx, job, ""); }));
  EXPECT_TRUE(find().has_value());
  Sql("UPDATE certificate SET state = 'revoked'");
  EXPECT_FALSE(find().has_value()) << "somebody has revoked it meanwhile";
}

TEST_F(SecureModeRepositoryTest, CertificatesOfFormerEnrolmentsAreDiscardedAndNoOthers) {
  const std::int64_t ended = AddJob(1), device = DeviceOf(ended), other = AddJob(2);
  const std::int64_t former = AddIssued(device, ended), others = AddIssued(DeviceOf(other), other);
  Sql("UPDATE job SET slot = 'secure-mode'");
  for (const std::int64_t id : {ended, other}) Do([&](Tx& tx) { return CancelJob(tx, id, ""); });
  const std::int64_t next = Value<std::int64_t>(
      absl::StrCat("INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline) SELECT "
                   "deployment_id, device_id, location_id, slot, run_at, deadline FROM job WHERE id = ",
                   ended, " RETURNING id"));
  const std::int64_t coming = AddIssued(device, next), active = AddIssued(device, ended);
  Sql("UPDATE certificate SET slot = 'secure-mode'");
  Sql(absl::StrCat("UPDATE certificate SET state = 'active' WHERE id = ", active));
  Run([&](Tx& tx) { return DiscardFormerEnrolments(tx, device); });
  const auto state = [&](std::int64_t id) {
    return Do([&](Tx& tx) { return GetCertificate(tx, id); }).state;
  };
  EXPECT_EQ(state(former), "discarded");
  EXPECT_EQ(state(coming), "issued");
  EXPECT_EQ(state(active), "active");
  EXPECT_EQ(state(others), "issued");
  EXPECT_EQ(Value<int>(absl::StrCat("SELECT count(*) FROM certificate_key WHERE certificate_id = ", former)),
            0);
}

TEST_F(SecureModeRepositoryTest, G15ANewJobComesFromTheDeploymentInForceWhateverThePhoneHadBefore) {
  const std::int64_t job = AddJob(1), device = DeviceOf(job);
  const auto without = [&] {
    return Do([&](Tx& tx) { return FindDeviceWithoutDeployment(tx, {device}, kClientCertificateSlot); });
  };
  const auto create = [&] {
    return Do([&](Tx& tx) { return CreateJobsAgain(tx, {device}, kClientCertificateSlot); });
  };
  EXPECT_EQ(without(), "00:1A:E8:00:00:01");
  EXPECT_EQ(create(), 0);
  Sql("UPDATE deployment SET slot = 'secure-mode', active = true, deploy_at = now() + interval '1 day'");
  EXPECT_EQ(without(), "00:1A:E8:00:00:01") << "it is not due";
  Sql("UPDATE deployment SET deploy_at = now()");
  Sql("UPDATE job SET slot = 'secure-mode'");
  EXPECT_FALSE(without().has_value());
  EXPECT_EQ(create(), 0) << "there is an unfinished one";
  Run([&](Tx& tx) { return LeaveSecureMode(tx, {device}, "out").status(); });
  EXPECT_EQ(create(), 1);
  EXPECT_EQ(Sql("SELECT count(*) FROM job WHERE state = 'scheduled' AND deadline > now()")[0][0].as<int>(),
            1);
}

TEST_F(SecureModeRepositoryTest, PinsAreForPhonesThatAreNotSecureYet) {
  const std::int64_t elsewhere = AddLocation("Elsewhere");
  const std::int64_t secure = AddDevice(1), waiting = AddDevice(2), fresh = AddDevice(3);
  AddDevice(4, elsewhere);
  SetState(secure, "secure");
  SetState(waiting, "awaiting_pin");
  std::vector<std::int64_t> ids;
  for (const auto& device : Do([&](Tx& tx) { return ListPinDevices(tx, 1, "", 10); })) {
    ids.push_back(device.device_id);
  }
  EXPECT_THAT(ids, ElementsAre(waiting, fresh));
}

}  // namespace
}  // namespace phonepki::db
