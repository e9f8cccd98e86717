#include "server/status_door.h"

#include <absl/strings/str_cat.h>

namespace phonepki::server {
namespace {

using provisioning::phone::DoorCounters;
using provisioning::phone::HttpRequest;
using provisioning::phone::HttpResponse;

HttpResponse Text(int status, const std::string& text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = base::Secret(std::string_view(text));
  return response;
}

void AppendMetric(std::string& text, const char* name, const char* kind, const char* help,
                  std::int64_t value) {
  absl::StrAppend(&text, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n", name, " ", value,
                  "\n");
}

std::string Metrics(const DoorCounters& door) {
  std::string text;
  AppendMetric(text, "phonepki_phone_connections", "gauge", "Open connections of phones.", door.open);
  AppendMetric(text, "phonepki_phone_connections_accepted_total", "counter", "Connections accepted.",
               door.accepted);
  AppendMetric(text, "phonepki_phone_connections_refused_total", "counter", "Connections over a limit.",
               door.refused);
  AppendMetric(text, "phonepki_phone_handshakes_failed_total", "counter", "TLS handshakes that failed.",
               door.handshake_failed);
  AppendMetric(text, "phonepki_phone_requests_total", "counter", "Requests handled.", door.requests);
  AppendMetric(text, "phonepki_phone_requests_refused_total", "counter", "Requests refused.",
               door.bad_requests);
  AppendMetric(text, "phonepki_phone_timeouts_total", "counter", "Connections cut for being slow or idle.",
               door.timed_out);
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<provisioning::phone::HttpDoor>> OpenStatusDoor(
    provisioning::phone::IoRuntime& io, const ListenAddress& listen, base::ThreadPool& pool,
    db::Database& database, const std::atomic<bool>& stopping, const DoorCounters* phone) {
  provisioning::phone::DoorOptions options;
  options.name = "status";
  options.address = listen.host;
  options.port = listen.port;
  return provisioning::phone::HttpDoor::Open(
      io, options, nullptr, pool, [&database, &stopping, phone](const HttpRequest& request) {
        if (request.target == "/healthz") return Text(200, "ok\n");
        if (request.target == "/readyz") {
          if (stopping) return Text(503, "stopping\n");
          const absl::Status status = database.Ping();
          return status.ok() ? Text(200, "ready\n") : Text(503, "the database does not answer\n");
        }
        if (request.target == "/metrics" && phone != nullptr) return Text(200, Metrics(*phone));
        return Text(404, "/healthz, /readyz or /metrics\n");
      });
}

}  // namespace phonepki::server
