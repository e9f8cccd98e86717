#include "provisioning/phone/outgoing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/provisioning/phone/test_identity.h"
#include "tests/testing/status.h"

namespace phonepki::provisioning::phone {
namespace {

// A port of a phone, bound and closed. Answer: takes one connection, reads a contact-me, answers, and hangs
// up.
class PhonePort {
 public:
  PhonePort() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_TRUE(Bind(address));
    port_ = ntohs(address.sin_port);
  }
  // On ::1; port 0 when this machine does not have it.
  struct Ipv6 {};
  explicit PhonePort(Ipv6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    if (Bind(address)) port_ = ntohs(address.sin6_port);
  }
  ~PhonePort() {
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }

  int port() const { return port_; }
  void Listen() { EXPECT_EQ(listen(listener_, 4), 0); }
  void Answer(const std::string& answer) {
    Listen();
    thread_ = std::thread([this, answer] {
      const int connection = accept(listener_, nullptr, nullptr);
      char chunk[4096];
      while (!absl::EndsWith(request_, "ContactMe=true") &&
             !absl::StrContains(request_, "dls_ip_port=18443")) {
        const ssize_t got = recv(connection, chunk, sizeof chunk, 0);
        if (got <= 0) break;
        request_.append(chunk, static_cast<std::size_t>(got));
      }
      send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      close(connection);
    });
  }
  std::string TakeRequest() {
    thread_.join();
    return request_;
  }

 private:
  template <typename Address>
  bool Bind(Address& address) {
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    listener_ = socket(generic->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(listener_, generic, size) == 0 && getsockname(listener_, generic, &size) == 0;
  }

  int listener_ = -1, port_ = 0;
  std::thread thread_;
  std::string request_;
};

class OutgoingTest : public ::testing::Test {
 protected:
  absl::Status KnockAt(const KnockTarget& target, absl::Duration timeout = absl::Seconds(20)) {
    absl::Notification done;
    absl::Status result;
    Knock(io_, target, timeout, [&](absl::Status status) {
      result = std::move(status);
      done.Notify();
    });
    done.WaitForNotification();
    return result;
  }
  absl::Status KnockAt(const PhonePort& phone, absl::Duration timeout = absl::Seconds(20)) {
    KnockTarget target;
    target.address = "127.0.0.1";
    target.port = phone.port();
    return KnockAt(target, timeout);
  }
  ProbeResult ProbeAt(int port, absl::Duration timeout = absl::Seconds(20),
                      const std::string& address = "127.0.0.1") {
    absl::Notification done;
    ProbeResult result;
    Probe(io_, address, port, timeout, [&](ProbeResult probed) {
      result = std::move(probed);
      done.Notify();
    });
    done.WaitForNotification();
    return result;
  }

  IoRuntime io_{1};
};

TEST_F(OutgoingTest, AKnockIsThePostThatPhonesKnow) {
  PhonePort phone;
  phone.Answer("HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\n\r\n");
  EXPECT_OK(KnockAt(phone));
  EXPECT_EQ(phone.TakeRequest(),
            absl::StrCat(
                "POST /contact_dls.html/ContactDLS HTTP/1.1\r\nHost: 127.0.0.1:", phone.port(),
                "\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: 14\r\n"
                "Connection: close\r\n\r\nContactMe=true"));
}

TEST_F(OutgoingTest, AKnockMayNameTheServerToCall) {
  PhonePort phone;
  phone.Answer("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_OK(KnockAt({"127.0.0.1", phone.port(), "/x", "192.0.2.10", 18443}));
  EXPECT_THAT(phone.TakeRequest(),
              ::testing::EndsWith("\r\n\r\nContactMe=true&dls_ip_addr=192.0.2.10&dls_ip_port=18443"));
}

TEST_F(OutgoingTest, AnIPv6AddressStandsInBracketsButNotInTheForm) {
  PhonePort phone{PhonePort::Ipv6()};
  if (phone.port() == 0) GTEST_SKIP() << "this machine has no IPv6";
  phone.Answer("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_OK(KnockAt({"::1", phone.port(), "/x", "fd00::7", 18443}));
  const std::string request = phone.TakeRequest();
  EXPECT_THAT(request, ::testing::HasSubstr(absl::StrCat("\r\nHost: [::1]:", phone.port(), "\r\n")));
  EXPECT_THAT(request, ::testing::EndsWith("\r\n\r\nContactMe=true&dls_ip_addr=fd00::7&dls_ip_port=18443"));
}

TEST_F(OutgoingTest, AnythingBut204IsNoConsent) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n", "noise\r\n"}) {
    PhonePort phone;
    phone.Answer(answer);
    EXPECT_CODE(KnockAt(phone), kFailedPrecondition) << answer;
  }
}

TEST_F(OutgoingTest, APhoneThatHangsUpOrIsNotThereIsUnavailable) {
  PhonePort hangs_up, absent;
  hangs_up.Answer("");
  EXPECT_CODE(KnockAt(hangs_up), kUnavailable);
  EXPECT_CODE(KnockAt(absent), kUnavailable);
  EXPECT_CODE(KnockAt(KnockTarget()), kUnavailable);
}

TEST_F(OutgoingTest, ASilentPhoneRunsIntoTheTimeOut) {
  PhonePort silent;
  silent.Listen();
  EXPECT_CODE(KnockAt(silent, absl::Milliseconds(50)), kDeadlineExceeded);
  EXPECT_CODE(ProbeAt(silent.port(), absl::Milliseconds(50)).status, kDeadlineExceeded);
}

TEST_F(OutgoingTest, AProbeBringsTheCertificateThatIsReallyServed) {
  base::ThreadPool pool(1, 1);
  DoorOptions options;
  options.address = "127.0.0.1";
  for (const bool legacy : {false, true}) {
    const TlsIdentity& identity = Identity(legacy);
    auto door =
        HttpDoor::Open(io_, options, &identity, pool, [](const HttpRequest&) { return HttpResponse(); });
    ASSERT_OK(door);
    const ProbeResult probed = ProbeAt((*door)->port());
    EXPECT_OK(probed.status);
    BIO* pem = BIO_new_mem_buf(identity.chain_pem.data(), static_cast<int>(identity.chain_pem.size()));
    X509* certificate = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    EXPECT_EQ(probed.leaf_der, base::Bytes(der, der + size));
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(pem);
  }
}

TEST_F(OutgoingTest, AProbeOfNobodyOrOfPlainHttpIsUnavailable) {
  base::ThreadPool pool(1, 1);
  DoorOptions options;
  options.address = "127.0.0.1";
  auto plain = HttpDoor::Open(io_, options, nullptr, pool, [](const HttpRequest&) { return HttpResponse(); });
  ASSERT_OK(plain);
  EXPECT_CODE(ProbeAt((*plain)->port()).status, kUnavailable);
  const PhonePort absent;
  EXPECT_CODE(ProbeAt(absent.port()).status, kUnavailable);
  EXPECT_CODE(ProbeAt(443, absl::Seconds(1), "not an address").status, kUnavailable);
}

}  // namespace
}  // namespace phonepki::provisioning::phone
