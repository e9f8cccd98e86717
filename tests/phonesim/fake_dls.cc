#include "tests/phonesim/fake_dls.h"

#include <cstdlib>

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <pugixml.hpp>

namespace phonesim {
namespace {

std::string Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, size);
  BIO_free(bio);
  return text;
}

std::string PemOf(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  return Drain(bio);
}

X509* MakeCertificate(const std::string& name, int serial, EVP_PKEY* key, X509* issuer,
                      EVP_PKEY* issuer_key) {
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer != nullptr ? issuer : certificate));
  X509_set_pubkey(certificate, key);
  X509_EXTENSION* constraints = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints,
                                                    issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  X509_add_ext(certificate, constraints, -1);
  X509_EXTENSION_free(constraints);
  X509_sign(certificate, issuer_key, EVP_sha256());
  return certificate;
}

std::string SerialOf(const X509* certificate) {
  return certificate == nullptr
             ? ""
             : std::to_string(ASN1_INTEGER_get(X509_get0_serialNumber(const_cast<X509*>(certificate))));
}

}  // namespace

TestCa::TestCa(const std::string& name) : key_(EVP_EC_gen("P-256")) {
  certificate_ = MakeCertificate(name, 1, key_, nullptr, key_);
  pem_ = PemOf(certificate_);
}

TestCa::~TestCa() {
  X509_free(certificate_);
  EVP_PKEY_free(key_);
}

Credential TestCa::Issue(const std::string& name, int serial) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = MakeCertificate(name, serial, key, certificate_, key_);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  const Credential made = FromPem(PemOf(certificate), Drain(bio)).value();
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

std::string Pack(const Credential& credential, const std::string& passphrase) {
  BIO* bio = BIO_new_mem_buf(credential.certificate_pem.data(), -1);
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = BIO_new_mem_buf(credential.key_pem.data(), -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  PKCS12* file = PKCS12_create(passphrase.c_str(), "phone", key, certificate, nullptr, NID_aes_256_cbc,
                               NID_aes_256_cbc, 1000, 1000, 0);
  unsigned char* der = nullptr;
  const int size = i2d_PKCS12(file, &der);
  std::string text(size * 2 + 4, '\0');
  text.resize(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), der, size));
  OPENSSL_free(der);
  PKCS12_free(file);
  EVP_PKEY_free(key);
  X509_free(certificate);
  return text;
}

FakeDls::FakeDls(asio::io_context& io, const Credential& server, const Credential& secure_server,
                 const TestCa& client_ca)
    : io_(io), default_door_(io), secure_door_(io) {
  default_door_.tls = server.tls;
  secure_door_.tls = secure_server.tls;
  secure_door_.secure = true;
  secure_door_.tls->add_certificate_authority(asio::buffer(client_ca.pem()));
  secure_door_.tls->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  for (Door* door : {&default_door_, &secure_door_}) asio::co_spawn(io_, Accept(*door), asio::detached);
}

void FakeDls::Say(bool secure, const std::string& action, const std::vector<Item>& items) {
  (secure ? secure_door_ : default_door_).script.emplace_back(action, items);
}

awaitable<void> FakeDls::Accept(Door& door) {
  for (;;) {
    tcp::socket socket = co_await door.acceptor.async_accept(use_awaitable);
    asio::co_spawn(io_, Serve(door, std::move(socket)), asio::detached);
  }
}

awaitable<void> FakeDls::Serve(Door& door, tcp::socket socket) {
  asio::ssl::stream<tcp::socket> stream(std::move(socket), *door.tls);
  Error error;
  co_await stream.async_handshake(asio::ssl::stream_base::server, asio::redirect_error(use_awaitable, error));
  const std::string serial = SerialOf(SSL_get0_peer_certificate(stream.native_handle()));
  while (!error) {
    std::string request;
    const std::size_t head = co_await asio::async_read_until(
        stream, asio::dynamic_buffer(request), "\r\n\r\n", asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    const std::size_t size = std::strtoul(HeaderOf(request, "Content-Length").c_str(), nullptr, 10);
    if (request.size() < head + size) {
      co_await asio::async_read(stream, asio::dynamic_buffer(request),
                                asio::transfer_exactly(head + size - request.size()),
                                asio::redirect_error(use_awaitable, error));
    }
    if (error) co_return;
    const bool refuse = door.secure && refusals_ > 0;
    const std::string body = refuse ? "" : Answer(door, serial, request.substr(head));
    refusals_ -= refuse;
    const std::string answer = std::string(refuse ? "HTTP/1.1 403 Forbidden" : "HTTP/1.1 200 OK") +
                               "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    co_await asio::async_write(stream, asio::buffer(answer), asio::redirect_error(use_awaitable, error));
  }
}

std::string FakeDls::Answer(Door& door, const std::string& client_serial, const std::string& body) {
  pugi::xml_document document;
  document.load_string(body.c_str());
  const auto message = document.child("WorkpointMessage").child("Message");
  const auto reason = message.child("ReasonForContact");
  Heard heard{door.secure,
              client_serial,
              reason.text().get(),
              reason.attribute("action").value(),
              reason.attribute("status").value(),
              {}};
  for (const auto& item : message.child("ItemList").children("Item")) {
    const std::string index = item.attribute("index").value(), status = item.attribute("status").value();
    heard.items[item.attribute("name").value() + (index.empty() ? "" : "[" + index + "]")] =
        status.empty() ? item.text().get() : "!" + status;
  }
  heard_.push_back(heard);
  std::string action = "CleanUp", items;
  if (!door.script.empty()) {
    action = door.script.front().first;
    for (const Item& item : door.script.front().second) {
      items += "<Item name=\"" + item.name + "\"" +
               (item.index.empty() ? "" : " index=\"" + item.index + "\"") + ">" + item.value + "</Item>";
    }
    door.script.pop_front();
  }
  return "<DLSMessage><Message nonce=\"" + std::string(message.attribute("nonce").value()) + "\"><Action>" +
         action + "</Action><ItemList>" + items + "</ItemList></Message></DLSMessage>";
}

}  // namespace phonesim
