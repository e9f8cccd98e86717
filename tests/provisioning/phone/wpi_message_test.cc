#include "provisioning/phone/wpi_message.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/heap_watch.h"
#include "tests/testing/status.h"

namespace phonepki::provisioning::phone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A reply in the canonical form, with `reason` as the whole ReasonForContact element.
std::string Message(const std::string& reason, const std::string& items = "",
                    const std::string& attributes = "") {
  return absl::StrCat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<WorkpointMessage xmlns=\"http://www.siemens.com/DLS\""
      " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
      "xsi:schemaLocation=\"http://www.siemens.com/DLS\">\n"
      " <Message nonce=\"0A1b\" maxItems=\"-1\"",
      attributes.empty() ? "" : " ", attributes, ">\n  ", reason, "\n  <ItemList>", items,
      "</ItemList>\n </Message>\n</WorkpointMessage>\n");
}

std::string Started(const std::string& items = "") {
  return Message("<ReasonForContact>start-up</ReasonForContact>", items);
}

WorkpointMessage Parsed(const std::string& body) {
  auto message = ParseWorkpointMessage(body);
  EXPECT_OK(message) << body;
  return message.value_or(WorkpointMessage{});
}

std::string OneValue(const std::string& item) {
  const WorkpointMessage message = Parsed(Started(item));
  return message.items.size() == 1 ? message.items[0].value : "(not one item)";
}

// What phones send

TEST(WpiMessageTest, ReadsTheCanonicalStartUp) {
  const WorkpointMessage message =
      Parsed(Started("<Item name=\"device-type\">OpenScape Desk Phone CP410</Item><Item "
                     "name=\"mac-addr\">00:1A:E8:00:00:01</Item>"));
  EXPECT_EQ(message.nonce, "0A1b");
  EXPECT_EQ(message.reason, Reason::kStartUp);
  EXPECT_EQ(message.status, ReplyStatus::kAccepted);
  EXPECT_FALSE(message.more_fragments);
  ASSERT_EQ(message.items.size(), 2u);
  EXPECT_EQ(message.Value("device-type"), "OpenScape Desk Phone CP410");
  EXPECT_EQ(message.Value("mac-addr"), "00:1A:E8:00:00:01");
  EXPECT_EQ(message.Value("absent"), "");
}

TEST(WpiMessageTest, ReadsEveryReasonAndKnowsWhichOpenASession) {
  const struct {
    const char* text;
    Reason reason;
    bool initial;
  } kCases[] = {{"start-up", Reason::kStartUp, true},
                {"solicited", Reason::kSolicited, true},
                {"local-changes", Reason::kLocalChanges, true},
                {"inventory-changes", Reason::kInventoryChanges, true},
                {"status", Reason::kStatus, true},
                {"reply-to", Reason::kReplyTo, false},
                {"clean-up", Reason::kCleanUp, false}};
  for (const auto& known : kCases) {
    EXPECT_EQ(Parsed(Message(absl::StrCat("<ReasonForContact>", known.text, "</ReasonForContact>"))).reason,
              known.reason);
    EXPECT_EQ(PrintReason(known.reason), known.text);
    EXPECT_EQ(IsInitial(known.reason), known.initial) << known.text;
  }
}

TEST(WpiMessageTest, ReadsAReplyWithItsActionAndStatus) {
  const auto reply = [](const char* status) {
    return Parsed(Message(absl::StrCat("<ReasonForContact status=\"", status,
                                       "\" action=\"WriteItems\">reply-to</ReasonForContact>")));
  };
  EXPECT_EQ(reply("accepted").action, "WriteItems");
  EXPECT_EQ(reply("accepted").status, ReplyStatus::kAccepted);
  EXPECT_EQ(reply("Accepted").status, ReplyStatus::kAccepted);
  EXPECT_EQ(reply(" busy ").status, ReplyStatus::kBusy);
  EXPECT_EQ(reply("failed").status, ReplyStatus::kFailed);
}

TEST(WpiMessageTest, ABusyReplyHasNoItemListAtAll) {
  const WorkpointMessage message = Parsed(
      "<WorkpointMessage><Message nonce=\"1\"><ReasonForContact action=\"WriteItems\" "
      "status=\"busy\">reply-to"
      "</ReasonForContact></Message></WorkpointMessage>");
  EXPECT_EQ(message.status, ReplyStatus::kBusy);
  EXPECT_TRUE(message.items.empty());
}

TEST(WpiMessageTest, TheFragmentMarkMayStandOnEitherElement) {
  const char* reply =
      "<ReasonForContact action=\"ReadAllItems\" status=\"accepted\"%>reply-to</ReasonForContact>";
  const auto more = [&](const char* on_message, const char* on_reason) {
    return Parsed(Message(absl::StrReplaceAll(reply, {{"%", on_reason}}), "", on_message)).more_fragments;
  };
  EXPECT_TRUE(more("fragment=\"next\"", ""));
  EXPECT_TRUE(more("", " fragment=\"next\""));
  EXPECT_FALSE(more("fragment=\"final\"", ""));
  EXPECT_FALSE(more("", " fragment=\"final\""));
  EXPECT_FALSE(more("", ""));
}

TEST(WpiMessageTest, ItemsKeepTheirIndexAndStatus) {
  const WorkpointMessage message = Parsed(
      Started("<Item index=\"0\" name=\"dls-server-ca\">A</Item><Item name=\"dls-server-ca\" index=\"4002\"/>"
              "<Item name=\"x\" index=\"one\">B</Item><Item status=\"unknown item\" name=\"y\">C</Item>"));
  ASSERT_EQ(message.items.size(), 4u);
  EXPECT_EQ(message.items[0].index, 0);
  EXPECT_EQ(message.items[1].index, 4002);
  EXPECT_EQ(message.items[1].value, "");
  EXPECT_FALSE(message.items[2].index.has_value());
  EXPECT_EQ(message.items[3].status, "unknown item");
  EXPECT_EQ(message.Value("y"), "") << "the value of an item that could not be given is not one";
}

TEST(WpiMessageTest, WhiteSpaceAroundTextIsTrimmed) {
  const WorkpointMessage message =
      Parsed(Message("<ReasonForContact>\r\n  solicited\t</ReasonForContact>",
                     "<Item name=\" mac-addr \">\n 00:1A:E8:00:00:01 \n</Item>"));
  EXPECT_EQ(message.reason, Reason::kSolicited);
  EXPECT_EQ(message.Value("mac-addr"), "00:1A:E8:00:00:01");
}

TEST(WpiMessageTest, EscapesAndCharacterReferencesAreRead) {
  EXPECT_EQ(OneValue("<Item name=\"x\">a&lt;b&gt;&amp;&quot;&apos;&#65;&#x42;&#xe4;</Item>"),
            "a<b>&\"'AB\xc3\xa4");
  EXPECT_EQ(Parsed(Started("<Item name=\"a&amp;b\"/>")).items.at(0).name, "a&b");
}

TEST(WpiMessageTest, CharacterDataSectionsAreText) {
  EXPECT_EQ(OneValue("<Item name=\"x\"><![CDATA[<a>&amp;]]></Item>"), "<a>&amp;");
  EXPECT_EQ(OneValue("<Item name=\"x\"><![CDATA[a]]]]><![CDATA[>b]]></Item>"), "a]]>b")
      << "cut in the middle";
  EXPECT_EQ(OneValue("<Item name=\"x\">a<![CDATA[b]]>c</Item>"), "abc");
}

TEST(WpiMessageTest, ACommentDoesNotCutAValue) {
  EXPECT_EQ(OneValue("<Item name=\"x\">front<!-- aside -->back</Item>"), "frontback");
}

TEST(WpiMessageTest, PrefixesNamespacesAndTheCaseOfElementsDoNotMatter) {
  for (const char* body :
       {"<WorkpointMessage><Message nonce=\"1\"><ReasonForContact>start-up</ReasonForContact><ItemList><Item "
        "name=\"a\">b</Item></ItemList></Message></WorkpointMessage>",
        "<d:WorkpointMessage xmlns:d=\"http://www.siemens.com/DLS\"><d:Message "
        "nonce=\"1\"><d:ReasonForContact>start-up"
        "</d:ReasonForContact><d:ItemList><d:Item "
        "name=\"a\">b</d:Item></d:ItemList></d:Message></d:WorkpointMessage>",
        "<workpointmessage xmlns=\"http://mydomain/provisioning\"><message "
        "nonce=\"1\"><reasonforcontact>start-up"
        "</reasonforcontact><itemlist><Item name=\"a\">b</Item></itemlist></message></workpointmessage>"}) {
    const WorkpointMessage message = Parsed(body);
    EXPECT_EQ(message.nonce, "1") << body;
    EXPECT_EQ(message.Value("a"), "b") << body;
  }
}

TEST(WpiMessageTest, AnItemListOutsideTheMessageIsFound) {
  EXPECT_EQ(
      Parsed("<WorkpointMessage><Message nonce=\"1\"><ReasonForContact>start-up</ReasonForContact></Message>"
             "<ItemList><Item name=\"a\">b</Item></ItemList></WorkpointMessage>")
          .Value("a"),
      "b");
}

TEST(WpiMessageTest, ASignatureIsUnwrapped) {
  const std::string bare = Started("<Item name=\"a\">b</Item>");
  const std::string inner = bare.substr(bare.find("<WorkpointMessage"));
  const std::string wrapped = absl::StrCat(
      "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><SignedInfo/><SignatureValue>AA==",
      "</SignatureValue><Object Id=\"WorkpointMessage\">", inner, "</Object></Signature>");
  EXPECT_EQ(Parsed(wrapped).Value("a"), "b");
  EXPECT_EQ(Parsed(absl::StrReplaceAll(wrapped, {{"<Signature ", "<ds:Signature xmlns:ds=\"x\" "},
                                                 {"</Signature>", "</ds:Signature>"}}))
                .Value("a"),
            "b");
  EXPECT_REASON(ParseWorkpointMessage("<Signature><Object/></Signature>"), "WPI_ROOT");
}

TEST(WpiMessageTest, TheNonceIsATokenOfTheirs) {
  EXPECT_REASON(
      ParseWorkpointMessage("<WorkpointMessage><Message><ReasonForContact>start-up</ReasonForContact>"
                            "</Message></WorkpointMessage>"),
      "WPI_NONCE");
  const auto with = [](std::size_t size) {
    return ParseWorkpointMessage(absl::StrReplaceAll(Started(), {{"0A1b", std::string(size, 'A')}}));
  };
  EXPECT_OK(with(256));
  EXPECT_REASON(with(257), "WPI_NONCE");
}

// Refusals

TEST(WpiMessageTest, WhatIsNotXmlIsRefused) {
  const std::string good = Started("<Item name=\"a\">b</Item>");
  for (const std::string& body :
       {std::string(), std::string("hello"), std::string("<"), good.substr(0, 200), std::string("\0\0\0", 3),
        absl::StrReplaceAll(good, {{"</Item>", "</Itm>"}})}) {
    const auto refused = ParseWorkpointMessage(body);
    EXPECT_CODE(refused, kInvalidArgument) << body;
    const std::string reason = base::ReasonOf(refused.status());
    EXPECT_TRUE(reason == "WPI_XML" || reason == "WPI_ROOT") << reason << " for " << body;
  }
}

TEST(WpiMessageTest, EveryCutMessageIsRefusedAndNoneCrashes) {
  const std::string good = Started("<Item name=\"a\" index=\"1\"><![CDATA[x]]>&amp;</Item>");
  const std::size_t end = good.rfind("</WorkpointMessage>") + std::string("</WorkpointMessage>").size();
  for (std::size_t size = 0; size < end; ++size)
    EXPECT_FALSE(ParseWorkpointMessage(good.substr(0, size)).ok()) << size;
}

TEST(WpiMessageTest, DocumentTypesAndEntitiesAreRefused) {
  const std::string good = Started("<Item name=\"a\">&b;</Item>");
  const std::string body = good.substr(good.find("<WorkpointMessage"));
  for (const char* head : {"<!DOCTYPE x>", "<!DOCTYPE x [<!ENTITY b \"bomb\">]>",
                           "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">", "<!ENTITY b \"bomb\">"}) {
    EXPECT_REASON(ParseWorkpointMessage(head + body), "WPI_DTD") << head;
  }
  EXPECT_EQ(OneValue("<Item name=\"a\">&b;</Item>"), "&b;") << "nobody defined it, so it stays what it is";
}

TEST(WpiMessageTest, SizeDepthAndNumberOfItemsAreBounded) {
  EXPECT_REASON(ParseWorkpointMessage(Started(), {.max_body = 100}), "WPI_XML");
  EXPECT_REASON(ParseWorkpointMessage(std::string((1 << 20) + 1, ' ')), "WPI_XML");

  std::string nested = "x";
  for (int i = 0; i < 100; ++i) nested = absl::StrCat("<a>", nested, "</a>");
  EXPECT_REASON(ParseWorkpointMessage(Started(nested)), "WPI_DEPTH");
  std::string open;
  for (int i = 0; i < 200000; ++i) open += "<a>";
  EXPECT_FALSE(ParseWorkpointMessage(Started(open)).ok());

  std::string items;
  for (int i = 0; i < 5; ++i) items += "<Item name=\"a\"/>";
  EXPECT_OK(ParseWorkpointMessage(Started(items), {.max_items = 5}));
  EXPECT_REASON(ParseWorkpointMessage(Started(items), {.max_items = 4}), "WPI_ITEMS");
}

TEST(WpiMessageTest, AnotherRootOrEnvelopeIsRefused) {
  for (const char* body :
       {"<DLSMessage><Message "
        "nonce=\"1\"><ReasonForContact>start-up</ReasonForContact></Message></DLSMessage>",
        "<WorkpointMessage/>", "<WorkpointMessage><Message nonce=\"1\"/></WorkpointMessage>",
        "<WorkpointMessage><ReasonForContact>start-up</ReasonForContact></WorkpointMessage>"}) {
    EXPECT_REASON(ParseWorkpointMessage(body), "WPI_ROOT") << body;
  }
}

TEST(WpiMessageTest, UnknownReasonsAndStatusesAreRefused) {
  for (const char* reason : {"take-over", "", "START-UP", "startup"}) {
    EXPECT_REASON(
        ParseWorkpointMessage(Message(absl::StrCat("<ReasonForContact>", reason, "</ReasonForContact>"))),
        "WPI_REASON")
        << reason;
  }
  EXPECT_REASON(ParseWorkpointMessage(Message(
                    "<ReasonForContact action=\"WriteItems\" status=\"maybe\">reply-to</ReasonForContact>")),
                "WPI_STATUS");
}

TEST(WpiMessageTest, ARefusalRepeatsNothingOfTheMessage) {
  const auto refused = ParseWorkpointMessage(Message("<ReasonForContact>hunter2</ReasonForContact>"));
  EXPECT_THAT(refused.status().ToString(), Not(HasSubstr("hunter2")));
}

TEST(WpiMessageTest, SalvagesANonceFromWhatCannotBeParsed) {
  EXPECT_EQ(SalvageNonce("<x><Message nonce=\"0A1b\" <broken"), "0A1b");
  for (const char* body : {"", "no nonce here", "nonce=\"", "nonce=\"abc", "nonce=\"\"", "nonce=\"a b\"",
                           "nonce=\"a&amp;b\"", "nonce=\"<x/>\""}) {
    EXPECT_EQ(SalvageNonce(body), "") << body;
  }
  EXPECT_EQ(SalvageNonce(absl::StrCat("nonce=\"", std::string(300, 'a'), "\"")), "");
}

// What we send

TEST(WpiMessageTest, PrintsTheCanonicalMessage) {
  EXPECT_EQ(
      PrintDlsMessage("0A1b", ActionKind::kReadItems, {{"wbm-server-certificate-info", std::nullopt, "", ""}})
          .view(),
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<DLSMessage xmlns=\"http://www.siemens.com/DLS\" "
      "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
      "xsi:schemaLocation=\"http://www.siemens.com/DLS\">\n"
      "<Message nonce=\"0A1b\">\n<Action>ReadItems</Action>\n"
      "<ItemList><Item name=\"wbm-server-certificate-info\"></Item></ItemList>\n</Message>\n</DLSMessage>\n");
}

TEST(WpiMessageTest, PrintsEveryActionAndNoEmptyItemList) {
  const std::pair<ActionKind, const char*> kActions[] = {
      {ActionKind::kReadAllItems, "ReadAllItems"}, {ActionKind::kReadItems, "ReadItems"},
      {ActionKind::kWriteItems, "WriteItems"},     {ActionKind::kRestart, "Restart"},
      {ActionKind::kCleanUp, "CleanUp"},           {ActionKind::kGetNextFragment, "GetNextFragment"}};
  for (const auto& [kind, name] : kActions) {
    const base::Secret printed = PrintDlsMessage("1", kind, {});
    EXPECT_THAT(std::string(printed.view()), HasSubstr(absl::StrCat("<Action>", name, "</Action>")));
    EXPECT_THAT(std::string(printed.view()), Not(HasSubstr("ItemList")));
  }
}

TEST(WpiMessageTest, PrintsIndexesAndEscapesNamesValuesAndTheNonce) {
  const std::string printed(
      PrintDlsMessage("\"><x/>", ActionKind::kWriteItems, {{"a\"b", 0, "<v>&\"</v>", ""}, {"c", 12, "d", ""}})
          .view());
  EXPECT_THAT(printed, HasSubstr("<Message nonce=\"&quot;&gt;&lt;x/&gt;\">"));
  EXPECT_THAT(printed,
              HasSubstr("<Item name=\"a&quot;b\" index=\"0\">&lt;v&gt;&amp;&quot;&lt;/v&gt;</Item>"));
  EXPECT_THAT(printed, HasSubstr("<Item name=\"c\" index=\"12\">d</Item>"));
}

TEST(WpiMessageTest, PrintingLeavesNoCopyOfAKeyBehind) {
  const std::string key = "MIIJkeymaterialkeymaterialkeymaterialkeymaterial";
  std::vector<Item> items{{"wbm-server-certificate", std::nullopt, key + std::string(5000, 'A'), ""}};
  {
    const phonepki::testing::HeapWatch watch(key);
    for (int i = 0; i < 3; ++i) PrintDlsMessage("1", ActionKind::kWriteItems, items);
    EXPECT_EQ(watch.leaks(), 0);
  }
}

// MAC addresses and secrets

TEST(ParseMacTest, TakesTheUsualWaysToWriteOne) {
  for (const char* text : {"00:1A:E8:12:34:56", "00:1a:e8:12:34:56", "00-1A-E8-12-34-56", "001A.E812.3456",
                           "001ae8123456", " 00:1A:E8:12:34:56\n"}) {
    EXPECT_EQ(ParseMac(text).value_or("refused"), "00:1A:E8:12:34:56") << text;
  }
}

TEST(ParseMacTest, RefusesWhatIsNoAddressOfADevice) {
  for (const char* text :
       {"", "00:1A:E8:12:34", "00:1A:E8:12:34:56:78", "00:1A:E8:12:34:5G", "00:00:00:00:00:00",
        "FF:FF:FF:FF:FF:FF", "01:00:5E:00:00:01", "00 1A E8 12 34 56", "00:1A:E8:12:34:5\xc3\xa4"}) {
    EXPECT_REFUSED(ParseMac(text), "MAC", "mac") << text;
  }
  EXPECT_OK(ParseMac("02:1A:E8:12:34:56")) << "locally administered, but one device's";
}

TEST(IsSecretItemTest, KnowsPassWordsAndKeyMaterialByName) {
  for (const char* name : {"user-pwd",
                           "admin-pwd",
                           "sip-pwd",
                           "file-pwd",
                           "ssh-password",
                           "restart-password",
                           "Admin-PWD",
                           "bootstrapping-tan",
                           "secure-mode-data",
                           "wbm-server-certificate",
                           "dls-client-certificate",
                           "snmp-community",
                           "security-pin",
                           "PIN",
                           "userpin2",
                           "pin code",
                           "wlan-psk",
                           "max-pin-retries",
                           "bootstrappingTan",
                           "wap-password-2",
                           "sipPwd",
                           "passphrase",
                           "wlan_passphrase",
                           "xmpp-secret",
                           "ldap-private-key",
                           "dot1x-pass"}) {
    EXPECT_TRUE(IsSecretItem(name)) << name;
  }
  for (const char* name : {"mac-addr",
                           "e164",
                           "device-type",
                           "wbm-server-certificate-info",
                           "dls-server-ca",
                           "reg-addr",
                           "contact-me-uri",
                           "software-version",
                           "",
                           "standard-time",
                           "instant-dial",
                           "key-mapping",
                           "ping-interval",
                           "distance",
                           "spinner",
                           "shipping-date",
                           "-",
                           "pinned",
                           "communities",
                           "compass"}) {
    EXPECT_FALSE(IsSecretItem(name)) << name;
  }
}

}  // namespace
}  // namespace phonepki::provisioning::phone
