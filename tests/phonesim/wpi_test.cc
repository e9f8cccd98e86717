#include "phonesim/wpi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phonesim {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

std::string Dls(const std::string& inside) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DLSMessage xmlns=\"http://www.siemens.com/DLS\">" +
         inside + "</DLSMessage>";
}

TEST(PrintTest, AnInitialMessageHasAReasonWithoutAttributesAndNoFragment) {
  Outgoing message;
  message.nonce = "AB12";
  message.reason = "start-up";
  message.items = {{"mac-addr", "", "00:1A:E8:00:00:01", ""}};
  EXPECT_EQ(
      Print(message),
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
      "<WorkpointMessage xmlns=\"http://www.siemens.com/DLS\" "
      "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
      "xsi:schemaLocation=\"http://www.siemens.com/DLS\">"
      "<Message nonce=\"AB12\" maxItems=\"-1\"><ReasonForContact>start-up</ReasonForContact>"
      "<ItemList><Item name=\"mac-addr\">00:1A:E8:00:00:01</Item></ItemList></Message></WorkpointMessage>");
}

TEST(PrintTest, AReplyNamesTheActionItsStatusAndTheFragment) {
  Outgoing message;
  message.nonce = "AB12";
  message.reason = "reply-to";
  message.action = "ReadAllItems";
  message.status = "accepted";
  message.fragment = "next";
  message.items = {{"key-label", "7", "a<b&c", ""}, {"x", "", "", "unknown item"}};
  const std::string text = Print(message);
  EXPECT_THAT(text, HasSubstr("maxItems=\"-1\" fragment=\"next\""));
  EXPECT_THAT(text, HasSubstr("<ReasonForContact status=\"accepted\" action=\"ReadAllItems\">reply-to<"));
  EXPECT_THAT(text, HasSubstr("<Item index=\"7\" name=\"key-label\">a&lt;b&amp;c</Item>"));
  EXPECT_THAT(text, HasSubstr("<Item status=\"unknown item\" name=\"x\""));
}

TEST(PrintTest, ABusyReplyHasNoItemList) {
  Outgoing message;
  message.reason = "reply-to";
  message.action = "WriteItems";
  message.status = "busy";
  message.item_list = false;
  EXPECT_THAT(Print(message), Not(HasSubstr("ItemList")));
}

TEST(ParseTest, ReadsActionNonceAndItems) {
  const Incoming message = Parse(
      Dls("<Message nonce=\"C0FFEE\"><Action> ReadItems\n</Action><ItemList>"
          "<Item name=\"dls-server-ca\" index=\"0\"> pem </Item><Item name=\"e164\"/></ItemList></Message>"));
  ASSERT_TRUE(message.ok);
  EXPECT_EQ(message.nonce, "C0FFEE");
  EXPECT_EQ(message.action, "ReadItems");
  ASSERT_THAT(message.items, SizeIs(2));
  EXPECT_EQ(message.items[0].name, "dls-server-ca");
  EXPECT_EQ(message.items[0].index, "0");
  EXPECT_EQ(message.items[0].value, "pem");
  EXPECT_EQ(message.items[1].value, "");
}

TEST(ParseTest, ReadsAMessageInsideAnXmlSignature) {
  const Incoming message = Parse(
      "<Signature "
      "xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><SignedInfo/><SignatureValue>AA==</SignatureValue>"
      "<Object Id=\"DLSMessage\"><DLSMessage><Message "
      "nonce=\"1\"><Action>CleanUp</Action></Message></DLSMessage>"
      "</Object></Signature>");
  ASSERT_TRUE(message.ok);
  EXPECT_EQ(message.action, "CleanUp");
}

TEST(ParseTest, RefusesWhatIsNoDlsMessage) {
  for (const char* text :
       {"", "hello", "<DLSMessage>", "<Other/>", "<DLSMessage/>", "<Signature/>",
        "<DLSMessage><Message nonce=\"1\"><Action>CleanUp</Action></Message></DLSMessage> took 3 ms",
        "Warning: stray text<DLSMessage><Message "
        "nonce=\"1\"><Action>CleanUp</Action></Message></DLSMessage>"}) {
    EXPECT_FALSE(Parse(text).ok) << text;
  }
  EXPECT_FALSE(Parse(Dls("<Message nonce=\"1\"><ItemList/></Message>")).ok) << "no action";
}

}  // namespace
}  // namespace phonesim
