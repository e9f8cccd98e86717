#include "server/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "ca/door_credentials.h"
#include "ca/internal_ca_service.h"
#include "db/database.h"
#include "db/embedded/embedded_postgres.h"
#include "db/migrator.h"
#include "provisioning/delivery/knock_worker.h"
#include "provisioning/delivery/phone_dialogue.h"
#include "provisioning/delivery/probe_worker.h"
#include "provisioning/devices/device_service.h"
#include "provisioning/manual/manual_deployment_service.h"
#include "provisioning/manual/phone_settings_service.h"
#include "provisioning/phone/dcmp.h"
#include "provisioning/phone/http_door.h"
#include "provisioning/pki/pki_service.h"
#include "provisioning/security/security_service.h"
#include "scheduler/deployments.h"
#include "scheduler/scheduler_service.h"
#include "server/secure_door.h"
#include "server/server_names.h"
#include "server/status_door.h"

namespace phonepki::server {
namespace {

absl::Status MakeDataDir(const std::string& path) {
  if (mkdir(path.c_str(), 0711) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot make the data directory ", path, ": ", strerror(errno)));
}

absl::StatusOr<provisioning::SlotTable> ReadSlotTable(const std::string& path) {
  if (path.empty()) return provisioning::SlotTable::BuiltIn();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::FailedPreconditionError(absl::StrCat("slots.file: cannot read ", path));
  absl::StatusOr<provisioning::SlotTable> table = provisioning::SlotTable::Parse(text.str());
  if (table.ok()) return table;
  return absl::InvalidArgumentError(absl::StrCat("slots.file: ", path, ", ", table.status().message()));
}

absl::StatusOr<base::Secret> ReadPassphrase(const std::string& path) {
  if (path.empty()) return base::Secret();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::FailedPreconditionError(absl::StrCat("pkcs12.passphrase_file: cannot read ", path));
  const std::string content = text.str();
  return base::Secret(base::ToStd(absl::StripSuffix(content, "\n")));
}

std::string ProcessName() {
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  return absl::StrCat(host, ":", getpid());
}

std::vector<std::string> ApiNames(const ServerConfig& config) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) == 0 && std::strlen(host) > 0 && std::string(host) != "localhost") {
    names.emplace_back(host);
  }
  names.insert(names.end(), config.api.names.begin(), config.api.names.end());
  return names;
}

absl::StatusOr<provisioning::DeliveryOptions> DeliveryOptionsOf(const ServerConfig& config) {
  provisioning::DeliveryOptions options;
  options.admission = config.phone.admission == Admission::kOpen ? provisioning::Admission::kOpen
                      : config.phone.admission == Admission::kKnownDevices
                          ? provisioning::Admission::kKnownDevices
                          : provisioning::Admission::kNetworks;
  options.networks = config.phone.networks;
  options.session_timeout = config.phone.session_timeout;
  options.knock_timeout = config.knock.timeout;
  options.knock_lifetime = config.knock.lifetime;
  options.contact_gap = config.knock.contact_gap;
  options.min_knock_interval = std::min(config.knock.contact_gap, absl::Seconds(60));
  options.knock_rate = config.knock.rate;
  options.knock_concurrency = config.knock.concurrency;
  options.advertise = config.knock.advertise == KnockAdvertise::kNone ? provisioning::Advertise::kNone
                      : config.knock.advertise == KnockAdvertise::kAll
                          ? provisioning::Advertise::kAll
                          : provisioning::Advertise::kDefaultMode;
  options.advertise_address = config.knock.advertise_address;
  options.advertise_port =
      config.knock.advertise_port == 0 ? config.phone.listen.port : config.knock.advertise_port;
  options.probe_port = config.probe.port;
  options.probe_timeout = config.probe.timeout;
  options.probe_retry = config.probe.retry;
  options.probe_attempts = config.probe.attempts;
  options.probe_concurrency = config.probe.concurrency;
  options.batch = config.worker.batch;
  options.lease = config.worker.lease;
  options.poll = config.worker.poll;
  options.max_failures = config.job.max_failures;
  options.retry_min = config.job.retry_min;
  options.retry_max = config.job.retry_max;
  options.busy_grant = config.job.busy_grant;
  options.pkcs12_encryption = config.pkcs12.encryption == Pkcs12Encryption::kLegacy3DesSha1
                                  ? ca::Pkcs12Encryption::kLegacy3DesSha1
                                  : ca::Pkcs12Encryption::kAes256Sha256;
  options.pkcs12_iterations = config.pkcs12.iterations;
  ASSIGN_OR_RETURN(options.pkcs12_passphrase, ReadPassphrase(config.pkcs12.passphrase_file));
  options.erase_keys = config.keys.erase_after_activation;
  options.secure_port =
      config.secure.advertise_port == 0 ? config.secure.listen.port : config.secure.advertise_port;
  options.max_pin_retries = config.secure.max_pin_retries;
  options.refusal = config.secure.refusal == DoorRefusal::kCleanUp ? provisioning::Refusal::kCleanUp
                                                                   : provisioning::Refusal::kForbidden;
  options.restart_after_write = config.wpi.activation == WpiActivation::kRestart;
  return options;
}

provisioning::PinOptions PinOptionsOf(const ServerConfig& config) {
  provisioning::PinOptions options;
  options.policy.min_length = config.secure.pin_min_length;
  options.policy.max_length = config.secure.pin_max_length;
  options.policy.generated_length = config.secure.pin_length;
  options.policy.alphabet = config.secure.pin_alphabet == PinAlphabet::kDigits
                                ? provisioning::PinAlphabet::kDigits
                                : provisioning::PinAlphabet::kLetters;
  options.lifetime = config.secure.pin_lifetime;
  return options;
}

// A replica with a key of its own would fail every job that it takes up. The API's CA is the one secret that
// every database holds.
absl::Status CheckMasterKey(ca::DoorCredentials& credentials, const ServerConfig& config) {
  absl::Status status = credentials.ApiCaPem().status();
  if (base::ReasonOf(status) != "MASTER_KEY_UNKNOWN") return status;
  return base::WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          config.keys.MasterKeyPath(config.data_dir),
          " is not the master key that the keys in this database are encrypted with: give every server "
          "of a database the same keys.master_key_file")),
      "MASTER_KEY_UNKNOWN");
}

struct Store {
  std::unique_ptr<db::EmbeddedPostgres> embedded;
  std::unique_ptr<db::Database> database;
};

absl::StatusOr<Store> OpenStore(const ServerConfig& config) {
  Store store;
  std::string url = config.database.url;
  if (config.database.embedded()) {
    RETURN_IF_ERROR(MakeDataDir(config.data_dir));
    ASSIGN_OR_RETURN(store.embedded,
                     db::EmbeddedPostgres::Start({config.data_dir, config.database.binaries}));
    url = store.embedded->url();
  }
  db::Database::Options options;
  options.url = url;
  options.pool_size = config.database.pool_size;
  store.database = std::make_unique<db::Database>(std::move(options));
  return store;
}

}  // namespace

// In the order of construction; destroyed in reverse.
struct Server::Parts {
  ServerConfig config;
  std::atomic<bool> stopping{false};
  base::SystemClock clock;
  Store store;
  std::unique_ptr<ca::Keystore> keystore;
  std::unique_ptr<ca::KeyGenerator> keys;
  std::unique_ptr<ca::Issuers> issuers;
  std::unique_ptr<ca::InternalCas> cas;
  std::unique_ptr<provisioning::Issuance> issuance;
  std::unique_ptr<provisioning::SecureCredentials> secure_credentials;
  std::unique_ptr<provisioning::SecurityPins> pins;
  std::unique_ptr<provisioning::SecureModeDataCodec> codec;
  std::unique_ptr<provisioning::ManualDeployment> manual;
  std::unique_ptr<provisioning::PhoneSettings> settings;
  provisioning::SlotTable slots;
  provisioning::Placement placement;
  provisioning::DeliveryOptions delivery;
  std::unique_ptr<provisioning::phone::IoRuntime> io;
  std::unique_ptr<base::ThreadPool> handlers;
  std::unique_ptr<provisioning::KnockWorker> knocks;
  std::unique_ptr<provisioning::ProbeWorker> probes;
  std::unique_ptr<scheduler::Clockwork> clockwork;
  std::unique_ptr<provisioning::SecureEnrolment> enrolment;
  std::unique_ptr<provisioning::PhoneDialogue> dialogue;
  std::unique_ptr<provisioning::phone::HttpDoor> phone_door;
  std::unique_ptr<SecureDoor> secure_door;
  std::unique_ptr<provisioning::phone::HttpDoor> plain_door;
  std::unique_ptr<provisioning::phone::HttpDoor> status_door;

  std::unique_ptr<ca::InternalCaService> ca_service;
  std::unique_ptr<ca::CertificateService> certificate_service;
  std::unique_ptr<provisioning::PluginService> plugin_service;
  std::unique_ptr<provisioning::ConnectorService> connector_service;
  std::unique_ptr<provisioning::DeviceService> device_service;
  std::unique_ptr<provisioning::LocationService> location_service;
  std::unique_ptr<provisioning::SecurityService> security_service;
  std::unique_ptr<provisioning::ManualDeploymentService> manual_service;
  std::unique_ptr<provisioning::PhoneSettingsService> settings_service;
  std::unique_ptr<scheduler::DeploymentService> deployment_service;
  std::unique_ptr<scheduler::JobService> job_service;
  std::unique_ptr<grpc::Server> grpc;

  absl::Status OpenKeys();
  absl::Status StartWorkers();
  absl::Status OpenPhoneDoor(ca::DoorCredentials& credentials);
  absl::Status OpenPlainDoor();
  absl::Status OpenApi(ca::DoorCredentials& credentials);
  void Wake() {
    if (clockwork) clockwork->Wake();
    if (knocks) knocks->Wake();
  }
};

absl::Status Server::Parts::OpenKeys() {
  ASSIGN_OR_RETURN(ca::MasterKey master,
                   ca::MasterKey::LoadOrCreate(config.keys.MasterKeyPath(config.data_dir)));
  keystore = std::make_unique<ca::Keystore>(std::move(master));
  keys = std::make_unique<ca::KeyGenerator>(config.keys.rsa_generator == RsaGenerator::kNettle
                                                ? ca::RsaGenerator::kNettle
                                                : ca::RsaGenerator::kOpenSsl);
  issuers = std::make_unique<ca::Issuers>(*keystore, clock);
  cas = std::make_unique<ca::InternalCas>(*store.database, *keystore, *issuers, *keys, clock);
  issuance = std::make_unique<provisioning::Issuance>(*store.database, *keystore, *issuers, *keys, clock);
  secure_credentials = std::make_unique<provisioning::SecureCredentials>(
      *store.database, *keystore, *issuance, SecureServerNames(config));
  pins = std::make_unique<provisioning::SecurityPins>(*store.database, *keystore, PinOptionsOf(config));
  return absl::OkStatus();
}

absl::Status Server::Parts::StartWorkers() {
  const std::string name = ProcessName();
  knocks = std::make_unique<provisioning::KnockWorker>(*store.database, *issuance, *io, delivery, name);
  probes = std::make_unique<provisioning::ProbeWorker>(*store.database, *io, delivery, name);
  clockwork =
      std::make_unique<scheduler::Clockwork>(*store.database, config.worker.poll, [this] { knocks->Wake(); });
  knocks->Start();
  probes->Start();
  clockwork->Start();
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenPhoneDoor(ca::DoorCredentials& credentials) {
  ASSIGN_OR_RETURN(codec,
                   provisioning::MakeSecureModeDataCodec(config.secure.data_codec, "secure.data_codec"));
  enrolment = std::make_unique<provisioning::SecureEnrolment>(delivery, *codec, *secure_credentials, *pins);
  dialogue = std::make_unique<provisioning::PhoneDialogue>(*store.database, *issuance, placement, *enrolment,
                                                           delivery, [this] {
                                                             if (probes) probes->Wake();
                                                           });
  const auto algorithm = config.phone.certificate_algorithm == DoorKeyAlgorithm::kRsa2048
                             ? ca::KeyAlgorithm::kRsa2048
                             : ca::KeyAlgorithm::kEcdsaP256;
  ASSIGN_OR_RETURN(ca::DoorCredential credential,
                   credentials.LoadOrCreate("phone", algorithm, ApiNames(config)));
  const provisioning::phone::TlsIdentity tls{credential.chain_pem, std::move(credential.key_pem),
                                             config.phone.tls_policy == TlsPolicy::kLegacy};
  provisioning::phone::DoorOptions options;
  options.name = "phone";
  options.address = config.phone.listen.host;
  options.port = config.phone.listen.port;
  options.path = config.phone.path;
  options.handshake_timeout = config.phone.handshake_timeout;
  options.request_timeout = config.phone.header_timeout + config.phone.body_timeout;
  options.idle_timeout = config.phone.idle_timeout;
  options.max_connections = config.phone.max_connections;
  options.max_connections_per_address = config.phone.max_connections_per_address;
  ASSIGN_OR_RETURN(
      phone_door, provisioning::phone::HttpDoor::Open(
                      *io, options, &tls, *handlers, [this](const provisioning::phone::HttpRequest& request) {
                        return dialogue->HandleDefault(request);
                      }));
  if (!config.secure.listen.enabled()) return absl::OkStatus();
  options.name = "secure";
  options.address = config.secure.listen.host;
  options.port = config.secure.listen.port;
  options.on_refused = [this](const provisioning::phone::RefusedClient& refused) {
    dialogue->OnRefused(refused);
  };
  secure_door = std::make_unique<SecureDoor>(
      *io, options, tls.legacy, *handlers, *secure_credentials,
      [this](const provisioning::phone::HttpRequest& request) { return dialogue->HandleSecure(request); });
  secure_door->Start();
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenPlainDoor() {
  provisioning::phone::DoorOptions options;
  options.name = "plain";
  options.address = config.http.listen.host;
  options.port = config.http.listen.port;
  options.request_timeout = config.phone.header_timeout;
  options.max_body = 8 << 10;
  options.max_connections = config.phone.max_connections;
  options.max_connections_per_address = config.phone.max_connections_per_address;
  const provisioning::phone::DcmpOptions polls{config.dcmp.path, config.dcmp.device_parameter,
                                               config.dcmp.nothing_status, config.dcmp.work_status};
  ASSIGN_OR_RETURN(plain_door, provisioning::phone::HttpDoor::Open(
                                   *io, options, nullptr, *handlers,
                                   [this, polls](const provisioning::phone::HttpRequest& request) {
                                     provisioning::phone::HttpResponse not_found;
                                     not_found.status = 404;
                                     return provisioning::phone::AnswerPoll(
                                                request, polls,
                                                [this](const std::string& mac, const std::string& address) {
                                                  return dialogue->HasWork(mac, address);
                                                })
                                         .value_or(std::move(not_found));
                                   }));
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenApi(ca::DoorCredentials& credentials) {
  db::Database& database = *store.database;
  ca_service = std::make_unique<ca::InternalCaService>(database, *cas);
  certificate_service = std::make_unique<ca::CertificateService>(database);
  plugin_service = std::make_unique<provisioning::PluginService>(database);
  connector_service = std::make_unique<provisioning::ConnectorService>(database, *issuance);
  device_service = std::make_unique<provisioning::DeviceService>(database, placement);
  location_service = std::make_unique<provisioning::LocationService>(database, placement);
  security_service = std::make_unique<provisioning::SecurityService>(database, *secure_credentials, *pins,
                                                                     clock, [this] { Wake(); });
  deployment_service = std::make_unique<scheduler::DeploymentService>(database, slots, config.job.deadline,
                                                                      [this] { Wake(); });
  manual = std::make_unique<provisioning::ManualDeployment>(database, *issuance, *keystore, slots, clock,
                                                            config.job.deadline, [this] { Wake(); });
  manual_service = std::make_unique<provisioning::ManualDeploymentService>(database, *manual);
  settings = std::make_unique<provisioning::PhoneSettings>(database, slots, clock, config.job.deadline,
                                                           [this] { Wake(); });
  settings_service = std::make_unique<provisioning::PhoneSettingsService>(database, slots, *settings);
  job_service = std::make_unique<scheduler::JobService>(database, [this] { Wake(); });

  std::shared_ptr<grpc::ServerCredentials> security = grpc::InsecureServerCredentials();
  if (!config.api.insecure_plaintext) {
    ASSIGN_OR_RETURN(ca::DoorCredential credential,
                     credentials.LoadOrCreate("api", ca::KeyAlgorithm::kEcdsaP256, ApiNames(config)));
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    ASSIGN_OR_RETURN(tls.pem_root_certs, credentials.ApiCaPem());
    tls.pem_key_cert_pairs.push_back({std::string(credential.key_pem.view()), credential.chain_pem});
    security = grpc::SslServerCredentials(tls);
  }
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("api");
  quota.SetMaxThreads(config.api.max_threads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(16 << 20);
  // Else a second server would quietly share the port, and every other call would end in its database.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  builder.AddListeningPort(config.api.listen.ToString(), security, &port);
  for (grpc::Service* service :
       {static_cast<grpc::Service*>(ca_service.get()), static_cast<grpc::Service*>(certificate_service.get()),
        static_cast<grpc::Service*>(plugin_service.get()),
        static_cast<grpc::Service*>(connector_service.get()),
        static_cast<grpc::Service*>(device_service.get()),
        static_cast<grpc::Service*>(location_service.get()),
        static_cast<grpc::Service*>(security_service.get()),
        static_cast<grpc::Service*>(deployment_service.get()),
        static_cast<grpc::Service*>(manual_service.get()),
        static_cast<grpc::Service*>(settings_service.get()),
        static_cast<grpc::Service*>(job_service.get())}) {
    builder.RegisterService(service);
  }
  grpc = builder.BuildAndStart();
  if (!grpc || port == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("api.listen: cannot listen on ", config.api.listen.ToString()));
  }
  return credentials.WriteAdminCredential(config.data_dir + "/credentials", absl::StrCat("127.0.0.1:", port));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config) {
  auto owned = std::make_unique<Parts>();
  Parts& parts = *owned;
  std::unique_ptr<Server> server(new Server(std::move(owned)));
  parts.config = config;
  RETURN_IF_ERROR(MakeDataDir(config.data_dir));
  ASSIGN_OR_RETURN(parts.slots, ReadSlotTable(config.slots.file));
  ASSIGN_OR_RETURN(parts.delivery, DeliveryOptionsOf(config));
  parts.delivery.slots = &parts.slots;
  ASSIGN_OR_RETURN(parts.store, OpenStore(config));
  if (config.database.embedded()) RETURN_IF_ERROR(db::Migrate(*parts.store.database));
  RETURN_IF_ERROR(db::CheckSchema(*parts.store.database));
  RETURN_IF_ERROR(parts.OpenKeys());
  parts.io = std::make_unique<provisioning::phone::IoRuntime>(config.phone.io_threads);
  parts.handlers = std::make_unique<base::ThreadPool>(config.phone.handler_threads, 10000);
  ca::DoorCredentials credentials(*parts.store.database, *parts.keystore, *parts.keys, parts.clock);
  RETURN_IF_ERROR(CheckMasterKey(credentials, config));
  if (config.HasRole("worker")) RETURN_IF_ERROR(parts.StartWorkers());
  if (config.HasRole("phone")) RETURN_IF_ERROR(parts.OpenPhoneDoor(credentials));
  if (config.HasRole("phone") && config.http.listen.enabled()) RETURN_IF_ERROR(parts.OpenPlainDoor());
  if (config.HasRole("api")) RETURN_IF_ERROR(parts.OpenApi(credentials));
  if (config.metrics.listen.enabled()) {
    ASSIGN_OR_RETURN(
        parts.status_door,
        OpenStatusDoor(*parts.io, config.metrics.listen, *parts.handlers, *parts.store.database,
                       parts.stopping, parts.phone_door ? &parts.phone_door->counters() : nullptr));
  }
  base::LogInfo("ready", {{"api", config.HasRole("api") ? config.api.listen.ToString() : "off"},
                          {"phone", config.HasRole("phone") ? config.phone.listen.ToString() : "off"},
                          {"data_dir", config.data_dir}});
  return server;
}

Server::~Server() {
  Parts& parts = *parts_;
  parts.stopping = true;
  if (parts.grpc) {
    parts.grpc->GetHealthCheckService()->SetServingStatus(false);
    parts.deployment_service->Stop();
    parts.job_service->Stop();
  }
  if (parts.knocks) parts.knocks->Stop();
  if (parts.clockwork) parts.clockwork->Stop();
  const absl::Time drained = absl::Now() + parts.config.shutdown.drain;
  if (parts.plain_door) parts.plain_door->Close(absl::Seconds(1));
  if (parts.dialogue) parts.dialogue->Drain(parts.config.shutdown.drain);
  if (parts.phone_door) parts.phone_door->Close(std::max(drained - absl::Now(), absl::ZeroDuration()));
  if (parts.secure_door) parts.secure_door->Stop(std::max(drained - absl::Now(), absl::ZeroDuration()));
  if (parts.probes) parts.probes->Stop();
  if (parts.grpc) parts.grpc->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
  if (parts.status_door) parts.status_door->Close(absl::Seconds(1));
  if (parts.handlers) parts.handlers->Stop();
  if (parts.io) parts.io->Stop();
  base::LogInfo("stopped");
}

absl::Status Server::Migrate(const ServerConfig& config) {
  ASSIGN_OR_RETURN(Store store, OpenStore(config));
  return db::Migrate(*store.database);
}

}  // namespace phonepki::server
