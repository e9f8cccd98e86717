// A phone on its way into secure mode and out of it, against a server that follows a script.
#include "phonesim/secure_mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provisioning/secure_mode/cms_codec.h"
#include "tests/phonesim/phone_fixture.h"

namespace phonesim {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SecureModeTest : public PhoneTest {
 protected:
  std::vector<Item> Access(const Credential& client) const {
    return {{"dls-client-certificate", "", Pack(client), ""},
            {"dls-server-ca", "0", server_ca_.pem(), ""},
            {"dls-server-ca", "1", "", ""},
            {"dls-secure-port", "", std::to_string(dls_->secure_port()), ""}};
  }
  std::vector<Item> NoPin(const Credential& client) const {
    std::vector<Item> items = Access(client);
    items.insert(items.begin(), {"goto-secure-mode", "", "nopin", ""});
    return items;
  }
  // The server's own codec: the simulator opens what that makes.
  static std::string Seal(const std::vector<Item>& items, const std::string& password) {
    std::vector<phonepki::provisioning::SecureModeItem> sealed;
    for (const Item& item : items) {
      sealed.push_back({item.name, item.index.empty() ? std::nullopt : std::optional(std::stoi(item.index)),
                        phonepki::base::Secret(item.value)});
    }
    return phonepki::provisioning::CmsCodec(1000).Seal(sealed, phonepki::base::Secret(password)).value();
  }
  std::vector<Item> Pin(const Credential& client) const {
    return {{"goto-secure-mode", "", "pin", ""},
            {"secure-mode-data", "", Seal(Access(client), "48151"), ""},
            {"max-pin-retries", "", "2", ""}};
  }
  // A phone that asks for the PIN 48151623, two wrong ones at most.
  void StartAwaitingPin() {
    StartServer(server_);
    dls_->Say(kDefaultPort, "WriteItems", Pin(client_));
    StartPhone();
    ASSERT_TRUE(UntilCount("awaiting_pin", 1));
    ASSERT_EQ(Count("cleanup_received"), 1);
  }
  void AskForTan() { dls_->Say(kSecurePort, "ReadItems", {{"bootstrapping-tan", "", "", ""}}); }
  // A phone with the client certificate 7.
  void StartInSecureMode() {
    StartServer(server_);
    dls_->Say(kDefaultPort, "WriteItems", NoPin(client_));
    StartPhone();
    ASSERT_TRUE(UntilCount("cleanup_received", 2));
    ASSERT_TRUE(phone_->secure());
  }
};

TEST_F(SecureModeTest, WithoutPinThePhoneComesBackOnTheSecurePortWithItsCertificate) {
  StartInSecureMode();
  const auto& heard = dls_->heard();
  ASSERT_THAT(heard, SizeIs(3));
  EXPECT_EQ(heard[1].reason, "reply-to");
  EXPECT_EQ(heard[1].status, "accepted");
  EXPECT_THAT(heard[1].items, IsEmpty());
  EXPECT_FALSE(heard[1].secure);
  EXPECT_TRUE(heard[2].secure);
  EXPECT_EQ(heard[2].reason, "start-up");
  EXPECT_EQ(heard[2].client_serial, "7");
  EXPECT_THAT(Ledger(), HasSubstr(R"("event":"secure_mode_entered","serial":"07")"));
}

TEST_F(SecureModeTest, ThePhoneTakesCertificatesAsPem) {
  StartServer(server_);
  std::vector<Item> items = NoPin(client_);
  items[1].value = client_.key_pem + client_.certificate_pem;
  dls_->Say(kDefaultPort, "WriteItems", items);
  StartPhone();
  ASSERT_TRUE(UntilCount("secure_mode_entered", 1));
}

TEST_F(SecureModeTest, NothingHappensBeforeTheServerCleansUp) {
  StartServer(server_);
  dls_->Say(kDefaultPort, "WriteItems", NoPin(client_));
  dls_->Say(kDefaultPort, "ReadItems", {{"e164", "", "", ""}});
  dls_->Say(kDefaultPort, "Restart");
  StartPhone();
  ASSERT_TRUE(UntilCount("boot", 2));
  ASSERT_TRUE(UntilCount("cleanup_received", 1));
  EXPECT_EQ(Count("secure_mode_entered"), 0);
  EXPECT_FALSE(dls_->heard().back().secure);
}

TEST_F(SecureModeTest, EveryLaterContactUsesTheSecurePort) {
  StartInSecureMode();
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_EQ(dls_->heard().back().reason, "solicited");
  EXPECT_EQ(dls_->heard().back().client_serial, "7");
  phone_->ChangeLocally();
  ASSERT_TRUE(UntilCount("cleanup_received", 4));
  EXPECT_EQ(dls_->heard().back().reason, "local-changes");
  EXPECT_TRUE(dls_->heard().back().secure);
  phone_->Reboot();
  ASSERT_TRUE(UntilCount("cleanup_received", 5));
  EXPECT_EQ(dls_->heard().back().reason, "start-up");
  EXPECT_TRUE(dls_->heard().back().secure);
}

TEST_F(SecureModeTest, AKnockWithAForeignAddressIsIgnored) {
  StartInSecureMode();
  Knock("ContactMe=true&dls_ip_addr=127.0.0.9&dls_ip_port=18444");
  ASSERT_TRUE(UntilCount("contact_me_ignored", 1));
  EXPECT_THAT(dls_->heard(), SizeIs(3));
}

TEST_F(SecureModeTest, AKnockOfItsServerMaySendItToAnotherPort) {
  StartInSecureMode();
  Knock("ContactMe=true&dls_ip_addr=127.0.0.1&dls_ip_port=" + std::to_string(dls_->port()));
  // What listens there has no certificate of the CA.
  ASSERT_TRUE(UntilCount("secure_connect_failed", 1));
  EXPECT_THAT(dls_->heard(), SizeIs(3));
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_EQ(dls_->heard().back().reason, "solicited") << "it was for one call only";
}

TEST_F(SecureModeTest, AServerOfAForeignCaIsNotBelieved) {
  StartServer(foreign_ca_.Issue("impostor", 3));
  dls_->Say(kDefaultPort, "WriteItems", NoPin(client_));
  StartPhone();
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  EXPECT_FALSE(phone_->secure());
  EXPECT_EQ(Count("secure_connect_failed"), 2);
  EXPECT_THAT(Ledger(), HasSubstr("certificate"));
  EXPECT_FALSE(dls_->heard().back().secure);
  EXPECT_EQ(dls_->heard().back().reason, "start-up");
  // The candidates were kept: the next boot tries them again.
  phone_->Reboot();
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_EQ(Count("secure_connect_failed"), 4);
}

TEST_F(SecureModeTest, AServerThatDoesNotKnowThePhoneSendsItBackToDefaultMode) {
  StartServer(server_);
  dls_->Say(kDefaultPort, "WriteItems", NoPin(foreign_ca_.Issue("phone", 9)));
  StartPhone();
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  EXPECT_FALSE(phone_->secure());
  EXPECT_GT(Count("secure_connect_failed"), 0);
}

TEST_F(SecureModeTest, AnHttpErrorIsNoWayIn) {
  StartServer(server_);
  dls_->Say(kDefaultPort, "WriteItems", NoPin(client_));
  dls_->RefuseSecure(4);  // as often as a phone repeats a message
  StartPhone();
  ASSERT_TRUE(UntilCount("secure_mode_entered", 1));
  EXPECT_EQ(Count("secure_connect_failed"), 1);
}

TEST_F(SecureModeTest, ANameOfTheServerIsOnlyCheckedOnRequest) {
  options_.check_server_name = true;
  StartServer(server_);
  dls_->Say(kDefaultPort, "WriteItems", NoPin(client_));
  StartPhone();
  ASSERT_TRUE(UntilCount("secure_connect_failed", 1));
  EXPECT_THAT(Ledger(), HasSubstr("IP address mismatch"));
}

TEST_F(SecureModeTest, BadItemsAreNamedAndInviteNobody) {
  StartServer(server_);
  std::vector<Item> items = NoPin(client_);
  items[1].value = "bm8gY2VydGlmaWNhdGU=";
  items[3].index = "2";
  items[4].value = "70000";
  dls_->Say(kDefaultPort, "WriteItems", items);
  StartPhone();
  ASSERT_TRUE(UntilCount("cleanup_received", 1));
  const auto& reply = dls_->heard()[1].items;
  EXPECT_EQ(reply.at("dls-client-certificate"), "!invalid data");
  EXPECT_EQ(reply.at("dls-server-ca[2]"), "!invalid index");
  EXPECT_EQ(reply.at("dls-secure-port"), "!invalid data");
  EXPECT_THAT(dls_->heard(), SizeIs(2));
}

TEST_F(SecureModeTest, CredentialsWithoutAnInvitationAreUnexpected) {
  StartServer(server_);
  dls_->Say(kDefaultPort, "WriteItems", Access(client_));
  StartPhone();
  ASSERT_TRUE(UntilCount("cleanup_received", 1));
  EXPECT_EQ(dls_->heard()[1].items.at("dls-client-certificate"), "!unexpected item");
}

TEST_F(SecureModeTest, ANewClientCertificateServesFromTheNextSessionOn) {
  StartInSecureMode();
  dls_->Say(kSecurePort, "WriteItems", {{"dls-client-certificate", "", Pack(next_client_), ""}});
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_EQ(dls_->heard().back().client_serial, "7");
  EXPECT_THAT(dls_->heard().back().items, IsEmpty());
  EXPECT_THAT(Ledger(),
              HasSubstr(R"("slot_written","item":"dls-client-certificate","index":"","serial":"08")"));
  dls_->Say(kSecurePort, "ReadItems", {{"dls-client-certificate-info", "", "", ""}});
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("cleanup_received", 4));
  EXPECT_EQ(dls_->heard().back().client_serial, "8");
  EXPECT_THAT(dls_->heard().back().items.at("dls-client-certificate-info"), HasSubstr("Serial: 08"));
}

TEST_F(SecureModeTest, InSecureModeThePhoneTakesItsWebCertificate) {
  StartInSecureMode();
  dls_->Say(kSecurePort, "WriteItems", {{"wbm-server-certificate", "", Pack(next_client_), ""}});
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("activated", 1));
  EXPECT_TRUE(phone_->secure());
}

TEST_F(SecureModeTest, DefaultSecurityAtTheDeskForgetsEverything) {
  StartInSecureMode();
  EXPECT_EQ(phone_->Status()["security"], "secure");
  EXPECT_TRUE(phone_->ResetToDefaultSecurity());
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_EQ(Count("default_security"), 1);
  EXPECT_FALSE(dls_->heard().back().secure);
  EXPECT_EQ(dls_->heard().back().reason, "start-up");
  EXPECT_EQ(phone_->Status()["security"], "default");
}

TEST_F(SecureModeTest, AFactoryResetLeavesSecureMode) {
  StartInSecureMode();
  EXPECT_TRUE(phone_->FactoryReset());
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_FALSE(phone_->secure());
  EXPECT_FALSE(dls_->heard().back().secure);
}

TEST_F(SecureModeTest, WithARightPinThePhoneTellsTheTanOnTheSecurePort) {
  StartAwaitingPin();
  EXPECT_EQ(phone_->Status()["security"], "awaiting-pin");
  EXPECT_THAT(dls_->heard(), SizeIs(2)) << "nothing goes out before the PIN";
  AskForTan();
  EXPECT_TRUE(phone_->TypePin("48151623"));
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  const auto& heard = dls_->heard();
  ASSERT_THAT(heard, SizeIs(4));
  EXPECT_EQ(heard[2].reason, "start-up");
  EXPECT_EQ(heard[2].client_serial, "7");
  EXPECT_EQ(heard[3].items.at("bootstrapping-tan"), "623");
  EXPECT_TRUE(phone_->secure());
  EXPECT_FALSE(phone_->TypePin("48151623")) << "nobody asks";
  EXPECT_EQ(Ledger().find("48151"), std::string::npos) << "PINs are written nowhere";
}

TEST_F(SecureModeTest, TheTanIsToldOnNoOtherOccasion) {
  StartAwaitingPin();
  dls_->Say(kDefaultPort, "ReadItems", {{"bootstrapping-tan", "", "", ""}});
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  EXPECT_EQ(dls_->heard().back().items.at("bootstrapping-tan"), "!failed");
  AskForTan();
  EXPECT_TRUE(phone_->TypePin("48151623"));
  ASSERT_TRUE(UntilCount("secure_mode_entered", 1));
  AskForTan();
  Knock("ContactMe=true");
  ASSERT_TRUE(UntilCount("cleanup_received", 4));
  EXPECT_EQ(dls_->heard().back().items.at("bootstrapping-tan"), "!failed");
}

TEST_F(SecureModeTest, AWrongPinIsCountedAndMayBeCorrected) {
  StartAwaitingPin();
  AskForTan();
  EXPECT_TRUE(phone_->TypePin("99999623"));
  EXPECT_EQ(Count("pin_wrong"), 1);
  EXPECT_TRUE(phone_->TypePin("48151623"));
  ASSERT_TRUE(UntilCount("secure_mode_entered", 1));
}

TEST_F(SecureModeTest, AfterTooManyWrongPinsThePhoneTellsTheServerInDefaultMode) {
  StartAwaitingPin();
  EXPECT_TRUE(phone_->TypePin("99999623"));
  EXPECT_TRUE(phone_->TypePin("623"));
  ASSERT_TRUE(UntilCount("cleanup_sent", 1));
  ASSERT_TRUE(Until([this] { return dls_->heard().size() == 3; }));
  EXPECT_EQ(Count("pin_retries_exceeded"), 1);
  const Heard& last = dls_->heard().back();
  EXPECT_FALSE(last.secure);
  EXPECT_EQ(last.reason, "clean-up");
  EXPECT_EQ(last.items.at("cleanup-reason"), "password retries exceeded");
  EXPECT_EQ(last.items.at("mac-addr"), phone_->mac());
  EXPECT_FALSE(phone_->TypePin("48151623")) << "the data is gone";
  EXPECT_EQ(phone_->Status()["security"], "default");
}

TEST_F(SecureModeTest, AWrongTanEndsBootstrapping) {
  StartAwaitingPin();
  AskForTan();
  dls_->Say(kSecurePort, "CleanUp", {{"cleanup-reason", "", "wrong TAN from device", ""}});
  EXPECT_TRUE(phone_->TypePin("48151999"));
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  EXPECT_EQ(dls_->heard().back().items.at("bootstrapping-tan"), "999");
  EXPECT_EQ(Count("bootstrapping_failed"), 1);
  EXPECT_EQ(Count("secure_mode_entered"), 0);
  phone_->Reboot();
  ASSERT_TRUE(UntilCount("cleanup_received", 3));
  EXPECT_FALSE(dls_->heard().back().secure) << "the credentials are forgotten";
}

TEST_F(SecureModeTest, AServerThatDoesNotAskForTheTanProvesNothing) {
  StartAwaitingPin();
  EXPECT_TRUE(phone_->TypePin("48151623"));
  ASSERT_TRUE(UntilCount("secure_connect_failed", 2));
  ASSERT_TRUE(UntilCount("cleanup_received", 4));
  EXPECT_FALSE(phone_->secure());
  EXPECT_FALSE(dls_->heard().back().secure);
}

TEST_F(SecureModeTest, CredentialsInClearBesideAPinAreUnexpected) {
  StartServer(server_);
  std::vector<Item> items = Pin(client_);
  items.push_back({"dls-secure-port", "", "18444", ""});
  dls_->Say(kDefaultPort, "WriteItems", items);
  items = Pin(client_);
  items[1].value = "bm8gZGF0YQ==";
  dls_->Say(kDefaultPort, "WriteItems", items);
  StartPhone();
  ASSERT_TRUE(UntilCount("cleanup_received", 1));
  EXPECT_EQ(dls_->heard()[1].items.at("dls-secure-port"), "!unexpected item");
  EXPECT_EQ(dls_->heard()[2].items.at("secure-mode-data"), "!invalid data");
  EXPECT_EQ(Count("awaiting_pin"), 0);
}

TEST_F(SecureModeTest, PinsOfAFileAreTypedOneAfterAnother) {
  options_.security_pin_file = dir_.path() + "/pins";
  options_.pin_delay_seconds = 0.01;
  StartAwaitingPin();
  AskForTan();
  std::ofstream(options_.security_pin_file) << "mac,pin\n00-1a-e8-00-00-02,1234567\n"
                                            << "00-1a-e8-00-00-01,99999623\n00:1A:E8:00:00:01,48151623\r\n";
  ASSERT_TRUE(UntilCount("secure_mode_entered", 1));
  EXPECT_EQ(Count("pin_wrong"), 1);
}

TEST_F(SecureModeTest, OnePinForTheWholeFleetIsTypedOnce) {
  options_.security_pin = "99999623";
  options_.pin_delay_seconds = 0.01;
  StartAwaitingPin();
  ASSERT_TRUE(UntilCount("pin_wrong", 1));
  for (int i = 0; i < 30; ++i) Poll();
  EXPECT_EQ(Count("pin_wrong"), 1);
}

TEST_F(SecureModeTest, WrongPinsAreCountedOverARestartOfTheSimulator) {
  options_.state_dir = dir_.path();
  StartAwaitingPin();
  EXPECT_TRUE(phone_->TypePin("99999623"));
  StartPhone();
  EXPECT_TRUE(phone_->awaiting_pin());
  EXPECT_TRUE(phone_->TypePin("99999623"));
  EXPECT_EQ(Count("pin_retries_exceeded"), 1);
  StartPhone();
  EXPECT_FALSE(phone_->awaiting_pin());
}

TEST_F(SecureModeTest, SecureModeSurvivesARestartOfTheSimulator) {
  options_.state_dir = dir_.path();
  StartInSecureMode();
  StartPhone();
  EXPECT_TRUE(phone_->secure());
  ASSERT_TRUE(UntilCount("cleanup_received", 1));
  EXPECT_EQ(dls_->heard().back().client_serial, "7");
  phone_->ResetToDefaultSecurity();
  StartPhone();
  EXPECT_FALSE(phone_->secure());
}

TEST_F(SecureModeTest, CredentialsThatWereTriedInVainSurviveARestartToo) {
  options_.state_dir = dir_.path();
  StartServer(server_);
  dls_->Say(kDefaultPort, "WriteItems", NoPin(client_));
  dls_->RefuseSecure(8);
  StartPhone();
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  EXPECT_FALSE(phone_->secure());
  StartPhone();
  ASSERT_TRUE(UntilCount("secure_mode_entered", 1));
}

}  // namespace
}  // namespace phonesim
