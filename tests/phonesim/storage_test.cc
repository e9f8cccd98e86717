// Certificate slots and settings that a phone keeps for the server to read back.
#include "phonesim/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/phonesim/phone_fixture.h"

namespace phonesim {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class StorageTest : public PhoneTest {
 protected:
  // What the phone answers to the write, then to the read.
  void Exchange(const std::vector<Item>& written,
                const std::vector<std::pair<std::string, std::string>>& read) {
    if (!phone_) StartServer(server_);
    dls_->Say(kDefaultPort, "WriteItems", written);
    std::vector<Item> wanted;
    for (const auto& [name, index] : read) wanted.push_back({name, index, "", ""});
    dls_->Say(kDefaultPort, "ReadItems", wanted);
    StartPhone();
    ASSERT_TRUE(UntilCount("cleanup_received", 1));
    const auto& heard = dls_->heard();
    write_ = heard[heard.size() - 2].items;
    read_ = heard[heard.size() - 1].items;
  }

  std::map<std::string, std::string> write_, read_;
};

TEST_F(StorageTest, SlotsOfEveryNameTakeCertificatesAndTellTheirSerials) {
  options_.wbm_passphrase = "site";
  Exchange({{"spe-certificate", "", Pack(client_, "site"), ""},
            {"dot1x-phone-certificate", "", client_.key_pem + client_.certificate_pem, ""},
            {"spe-ca", "0", server_ca_.pem(), ""},
            {"spe-ca", "1", client_ca_.pem() + foreign_ca_.pem(), ""}},
           {{"spe-certificate-info", ""}, {"dot1x-phone-certificate-info", ""}, {"spe-ca-info", "1"}});
  EXPECT_THAT(write_, IsEmpty());
  EXPECT_THAT(read_["spe-certificate-info"], HasSubstr("Serial: 07"));
  EXPECT_THAT(read_["spe-certificate-info"], HasSubstr("SHA256 Fingerprint: " + client_.sha256));
  EXPECT_THAT(read_["dot1x-phone-certificate-info"], HasSubstr("Serial: 07"));
  EXPECT_THAT(read_["spe-ca-info[1]"], HasSubstr("CN = client CA"));
  EXPECT_THAT(read_["spe-ca-info[1]"], HasSubstr("CN = foreign CA"));
  EXPECT_THAT(Ledger(), HasSubstr(R"("slot_written","item":"spe-certificate","index":"","serial":"07")"));
  EXPECT_THAT(Ledger(), HasSubstr(R"("slot_written","item":"spe-ca","index":"1","serial":"01")"));
}

TEST_F(StorageTest, AnEmptyValueEmptiesASlot) {
  Exchange({{"sip-server-ca", "", server_ca_.pem(), ""}, {"sip-server-ca", "", "", ""}},
           {{"sip-server-ca-info", ""}});
  EXPECT_THAT(write_, IsEmpty());
  EXPECT_EQ(read_["sip-server-ca-info"], "");
}

TEST_F(StorageTest, WhatCannotBeOpenedIsInvalid) {
  Exchange({{"spe-certificate", "", Pack(client_, "other"), ""},
            {"spe-ca", "0", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", ""},
            {"no-such-item", "", "1", ""}},
           {{"spe-certificate-info", ""}, {"no-such-item", ""}});
  EXPECT_EQ(write_["spe-certificate"], "!invalid data");
  EXPECT_EQ(write_["spe-ca[0]"], "!invalid data");
  EXPECT_EQ(write_["no-such-item"], "!unknown item");
  EXPECT_EQ(read_["spe-certificate-info"], "");
  EXPECT_EQ(read_["no-such-item"], "!failed");
  EXPECT_EQ(Count("slot_written"), 0);
}

TEST_F(StorageTest, TheFirmwareDecidesWhichItemsThereAre) {
  options_.profile = "v2r2";
  options_.unknown_items = {"spe-ca"};
  Exchange({{"ocsp-responder-ca", "1", server_ca_.pem(), ""},
            {"ocsr-1-address", "", "192.0.2.1", ""},
            {"spe-ca", "0", server_ca_.pem(), ""},
            {"radius-server-ca", "", server_ca_.pem(), ""}},
           {{"ocsp-responder-ca-info", "1"}, {"radius-server-ca-info", ""}});
  EXPECT_EQ(write_["ocsp-responder-ca[1]"], "!unknown item");
  EXPECT_EQ(write_["ocsr-1-address"], "!unknown item");
  EXPECT_EQ(write_["spe-ca[0]"], "!unknown item");
  EXPECT_FALSE(write_.contains("radius-server-ca"));
  EXPECT_EQ(read_["ocsp-responder-ca-info[1]"], "!failed");
  EXPECT_THAT(read_["radius-server-ca-info"], HasSubstr("CN = server CA"));
}

TEST_F(StorageTest, SettingsAreKeptAndRead) {
  Exchange({{"sip-tls-authentication-policy", "", "2", ""}, {"ocsr-1-address", "", "192.0.2.1", ""}},
           {{"sip-tls-authentication-policy", ""}, {"ocsr-1-address", ""}, {"device-type", ""}});
  EXPECT_THAT(write_, IsEmpty());
  EXPECT_EQ(read_["sip-tls-authentication-policy"], "2");
  EXPECT_EQ(read_["ocsr-1-address"], "192.0.2.1");
  EXPECT_EQ(read_["device-type"], "OpenStage 60");
}

TEST_F(StorageTest, EverythingSurvivesARestartOfTheSimulatorButNoFactoryReset) {
  options_.state_dir = dir_.path();
  Exchange({{"spe-certificate", "", Pack(client_), ""}, {"sip-tls-authentication-policy", "", "1", ""}}, {});
  Exchange({}, {{"spe-certificate-info", ""}, {"sip-tls-authentication-policy", ""}});
  EXPECT_THAT(read_["spe-certificate-info"], HasSubstr("Serial: 07"));
  EXPECT_EQ(read_["sip-tls-authentication-policy"], "1");
  phone_->FactoryReset();
  Exchange({}, {{"spe-certificate-info", ""}, {"sip-tls-authentication-policy", ""}});
  EXPECT_EQ(read_["spe-certificate-info"], "");
  EXPECT_EQ(read_["sip-tls-authentication-policy"], "!failed");
}

}  // namespace
}  // namespace phonesim
