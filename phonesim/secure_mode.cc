#include "phonesim/secure_mode.h"

#include <cstdlib>
#include <fstream>

#include <openssl/cms.h>
#include <openssl/err.h>

#include "phonesim/addresses.h"

namespace phonesim {
namespace {

constexpr char kGotoSecureMode[] = "goto-secure-mode";
constexpr char kClientCertificate[] = "dls-client-certificate";
constexpr char kServerCa[] = "dls-server-ca";
constexpr char kSecurePort[] = "dls-secure-port";
constexpr char kSecureModeData[] = "secure-mode-data";

using Json = nlohmann::ordered_json;

std::string Text(const Json& saved, const char* key) {
  const auto found = saved.find(key);
  return found != saved.end() && found->is_string() ? found->get<std::string>() : "";
}

int Number(const Json& saved, const char* key) {
  const auto found = saved.find(key);
  return found != saved.end() && found->is_number_integer() ? found->get<int>() : 0;
}

Json SaveAccess(const SecureAccess& access) {
  return {{"client", access.client.certificate_pem + access.client.key_pem},
          {"server_ca_0", access.server_cas[0]},
          {"server_ca_1", access.server_cas[1]},
          {"address", access.address},
          {"port", access.port}};
}

std::shared_ptr<const SecureAccess> LoadAccess(const Json& saved, const char* key, bool tls12_only) {
  const auto found = saved.find(key);
  if (found == saved.end() || !found->is_object()) return nullptr;
  const std::string client = Text(*found, "client");
  SecureAccess access;
  if (std::optional<Credential> kept = FromPem(client, client)) access.client = std::move(*kept);
  access.server_cas = {Text(*found, "server_ca_0"), Text(*found, "server_ca_1")};
  access.address = Text(*found, "address");
  access.port = Number(*found, "port");
  if (!Complete(access, tls12_only).empty()) return nullptr;
  return std::make_shared<const SecureAccess>(std::move(access));
}

}  // namespace

Json Save(const Security& security) {
  Json saved = Json::object();
  if (security.access) saved["access"] = SaveAccess(*security.access);
  if (security.candidates) saved["candidates"] = SaveAccess(*security.candidates);
  if (!security.tan.empty()) saved["tan"] = security.tan;
  if (security.sealed) {
    saved["sealed"] = {{"data", security.sealed->data},
                       {"address", security.sealed->address},
                       {"max_retries", security.sealed->max_retries},
                       {"wrong", security.sealed->wrong}};
  }
  return saved;
}

Security LoadSecurity(const Json& saved, bool tls12_only) {
  if (!saved.is_object()) return {};
  Security security{LoadAccess(saved, "access", tls12_only), LoadAccess(saved, "candidates", tls12_only),
                    Text(saved, "tan"), std::nullopt};
  if (const auto sealed = saved.find("sealed"); sealed != saved.end() && sealed->is_object()) {
    security.sealed = SealedAccess{Text(*sealed, "data"), Text(*sealed, "address"),
                                   Number(*sealed, "max_retries"), Number(*sealed, "wrong")};
  }
  return security;
}

bool IsSecurityItem(const std::string& name) {
  return name == kGotoSecureMode || name == kClientCertificate || name == kServerCa || name == kSecurePort ||
         name == kSecureModeData;
}

std::string Apply(const Item& item, SecureAccess& access) {
  if (item.name == kClientCertificate) {
    std::optional<Credential> client = OpenEither(item.value, "");
    if (!client) return "invalid data";
    access.client = std::move(*client);
  } else if (item.name == kServerCa) {
    if (item.index != "0" && item.index != "1") return "invalid index";
    if (!item.value.empty() && ReadCertificates(item.value).empty()) return "invalid data";
    access.server_cas[item.index == "1"] = item.value;
  } else if (item.name == kSecurePort) {
    const int port = std::atoi(item.value.c_str());
    if (port < 1 || port > 65535 || std::to_string(port) != item.value) return "invalid data";
    access.port = port;
  } else {
    return "unknown item";
  }
  return "";
}

std::optional<std::vector<Item>> Unseal(const std::string& data, const std::string& password) {
  const std::string der = DecodeBase64(data);
  BIO* in = BIO_new_mem_buf(der.data(), static_cast<int>(der.size()));
  CMS_ContentInfo* cms = d2i_CMS_bio(in, nullptr);
  BIO_free(in);
  if (cms == nullptr) return std::nullopt;
  std::string octets = password;
  BIO* out = BIO_new(BIO_s_mem());
  const bool opened = CMS_decrypt_set1_password(cms, reinterpret_cast<unsigned char*>(octets.data()),
                                                static_cast<ossl_ssize_t>(octets.size())) == 1 &&
                      CMS_decrypt(cms, nullptr, nullptr, nullptr, out, 0) == 1;
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  const std::string content(text, size);
  BIO_free(out);
  CMS_ContentInfo_free(cms);
  ERR_clear_error();
  if (!opened) return std::nullopt;
  // A wrong password passes the padding once in a while, but never makes XML.
  std::vector<Item> items = ParseItemList(content);
  if (items.empty()) return std::nullopt;
  return items;
}

bool LooksSealed(const std::string& data) {
  const std::string der = DecodeBase64(data);
  BIO* in = BIO_new_mem_buf(der.data(), static_cast<int>(der.size()));
  CMS_ContentInfo* cms = d2i_CMS_bio(in, nullptr);
  const bool sealed = cms != nullptr && OBJ_obj2nid(CMS_get0_type(cms)) == NID_pkcs7_enveloped;
  CMS_ContentInfo_free(cms);
  BIO_free(in);
  ERR_clear_error();
  return sealed;
}

std::vector<std::string> ReadPins(const std::string& path, const std::string& mac) {
  std::vector<std::string> pins;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto comma = line.find(',');
    if (comma == std::string::npos || UpperMac(line.substr(0, comma)) != mac) continue;
    std::string pin = line.substr(comma + 1);
    while (!pin.empty() && (pin.back() == '\r' || pin.back() == ' ')) pin.pop_back();
    pins.push_back(pin);
  }
  return pins;
}

std::string Complete(SecureAccess& access, bool tls12_only) {
  if (access.client.key_pem.empty()) return kClientCertificate;
  if (access.server_cas[0].empty() && access.server_cas[1].empty()) return kServerCa;
  if (access.port == 0) return kSecurePort;
  auto tls = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  tls->set_verify_mode(asio::ssl::verify_peer);
  tls->use_certificate_chain(asio::buffer(access.client.certificate_pem));
  tls->use_private_key(asio::buffer(access.client.key_pem), asio::ssl::context::pem);
  for (const std::string& ca : access.server_cas) {
    if (!ca.empty()) tls->add_certificate_authority(asio::buffer(ca));
  }
  SSL_CTX_set_session_cache_mode(tls->native_handle(), SSL_SESS_CACHE_OFF);
  if (tls12_only) SSL_CTX_set_max_proto_version(tls->native_handle(), TLS1_2_VERSION);
  access.tls = std::move(tls);
  access.client.tls.reset();
  return "";
}

}  // namespace phonesim
