#include "ca/internal_ca_service.h"

#include <algorithm>
#include <limits>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "db/audit_repository.h"
#include "db/certificate_repository.h"
#include "db/device_repository.h"

namespace phonepki::ca {
namespace {

using base::rpc::Caller;

constexpr char kCollection[] = "internalCas";
constexpr char kCertificates[] = "certificates";

v1::InternalCa ToProto(const db::InternalCaRecord& ca) {
  v1::InternalCa proto;
  proto.set_name(absl::StrCat("internalCas/", ca.id));
  proto.set_display_name(ca.display_name);
  proto.set_description(ca.description);
  proto.set_enabled(ca.enabled);
  proto.set_state(ca.certificate.empty()       ? v1::InternalCa::DRAFT
                  : ca.not_after < absl::Now() ? v1::InternalCa::EXPIRED
                                               : v1::InternalCa::ACTIVE);
  if (!ca.certificate.empty()) *proto.mutable_certificate() = SummarizeCertificate(ca.certificate, true);
  if (ca.parent_id) proto.set_parent(absl::StrCat("internalCas/", *ca.parent_id));
  *proto.mutable_create_time() = base::rpc::ToProto(ca.created_at);
  return proto;
}

absl::StatusOr<CaCreation> FromProto(db::Database& database, const v1::CaCreation& proto) {
  CaCreation creation;
  creation.subject = proto.subject();
  creation.key_algorithm = proto.key_algorithm();
  if (proto.has_not_before()) {
    ASSIGN_OR_RETURN(creation.not_before, base::rpc::FromProto(proto.not_before(), "creation.not_before"));
  }
  if (proto.has_not_after()) {
    ASSIGN_OR_RETURN(creation.not_after, base::rpc::FromProto(proto.not_after(), "creation.not_after"));
  }
  creation.allow_past_2038 = proto.allow_past_2038();
  creation.allow_legacy = proto.allow_legacy();
  if (!proto.parent().empty()) {
    ASSIGN_OR_RETURN(creation.parent_id, database.InTransactionReturning("ca_resolve", [&](db::Tx& tx) {
      return ResolveInternalCa(tx, proto.parent(), "creation.parent");
    }));
  }
  return creation;
}

absl::StatusOr<base::Bytes> ReadSerial(const std::string& text) {
  const bool hex = std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
  if (!hex || text.size() > 40) {
    return base::InvalidField("serial", "SERIAL", "a serial number has at most 40 hexadecimal digits");
  }
  const std::string octets = absl::HexStringToBytes(text.size() % 2 == 0 ? text : absl::StrCat("0", text));
  return base::Bytes(octets.begin(), octets.end());
}

v1::Certificate ToProto(const db::CertificateRecord& record) {
  v1::Certificate proto;
  proto.set_name(absl::StrCat("certificates/", record.id));
  if (record.ca_id) proto.set_internal_ca(absl::StrCat("internalCas/", *record.ca_id));
  proto.set_serial(HexLower(record.serial));
  proto.set_subject(record.subject);
  proto.set_kind(record.kind);
  static constexpr struct {
    const char* name;
    v1::Certificate::State state;
  } kStates[] = {{"intended", v1::Certificate::INTENDED},   {"issued", v1::Certificate::ISSUED},
                 {"active", v1::Certificate::ACTIVE},       {"superseded", v1::Certificate::SUPERSEDED},
                 {"discarded", v1::Certificate::DISCARDED}, {"revoked", v1::Certificate::REVOKED}};
  for (const auto& known : kStates) {
    if (record.state == known.name) proto.set_state(known.state);
  }
  if (!record.mac.empty()) proto.set_device(absl::StrCat("devices/", record.mac));
  if (record.job_id) proto.set_job(absl::StrCat("jobs/", *record.job_id));
  *proto.mutable_not_before() = base::rpc::ToProto(record.not_before);
  *proto.mutable_not_after() = base::rpc::ToProto(record.not_after);
  *proto.mutable_create_time() = base::rpc::ToProto(record.created_at);
  if (!record.der.empty()) {
    proto.set_sha256_fingerprint(HexLower(record.sha256));
    proto.set_pem(ToPem(record.der));
  }
  return proto;
}

}  // namespace

absl::StatusOr<std::int64_t> ResolveInternalCa(db::Tx& tx, const std::string& name,
                                               const std::string& field) {
  return base::rpc::ResolveName(
      name, kCollection, field,
      [&](const std::string& display_name) { return db::FindInternalCaByDisplayName(tx, display_name); },
      [&](std::int64_t id) { return db::GetInternalCa(tx, id); });
}

v1::CertificateSummary SummarizeCertificate(const base::Bytes& der, bool with_pem) {
  v1::CertificateSummary summary;
  absl::StatusOr<CertificateInfo> info = ParseCertificate(der);
  if (!info.ok()) return summary;
  summary.set_subject(info->subject);
  summary.set_issuer(info->issuer);
  summary.set_serial(HexLower(info->serial));
  *summary.mutable_not_before() = base::rpc::ToProto(info->not_before);
  *summary.mutable_not_after() = base::rpc::ToProto(info->not_after);
  summary.set_key_algorithm(info->key_algorithm);
  summary.set_sha256_fingerprint(HexLower(info->sha256));
  summary.set_sha1_fingerprint(HexLower(info->sha1));
  if (with_pem) summary.set_pem(ToPem(der));
  return summary;
}

absl::StatusOr<std::int64_t> InternalCaService::Resolve(const std::string& name, const std::string& field) {
  return database_.InTransactionReturning("ca_resolve",
                                          [&](db::Tx& tx) { return ResolveInternalCa(tx, name, field); });
}

#define RPC(name)                                                                                      \
  grpc::Status InternalCaService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                       v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.ca.v1.InternalCaService/" #name,                              \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status
#define END_RPC \
  );            \
  }

RPC(CreateInternalCa) {
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(request->display_name()));
  RETURN_IF_ERROR(base::rpc::CheckDescription(request->description()));
  NewCa wanted{request->display_name(), request->description(),   std::nullopt,
               request->enable(),       request->validate_only(), request->request_id()};
  if (request->has_creation()) {
    ASSIGN_OR_RETURN(wanted.creation, FromProto(database_, request->creation()));
  }
  ASSIGN_OR_RETURN(db::InternalCaRecord ca, cas_.Create(wanted, caller.actor));
  *response->mutable_internal_ca() = ToProto(ca);
  return absl::OkStatus();
}
END_RPC

RPC(GenerateInternalCa) {
  ASSIGN_OR_RETURN(std::int64_t id, Resolve(request->name(), "name"));
  ASSIGN_OR_RETURN(CaCreation creation, FromProto(database_, request->creation()));
  ASSIGN_OR_RETURN(db::InternalCaRecord ca,
                   cas_.Generate(id, creation, request->validate_only(), caller.actor));
  *response->mutable_internal_ca() = ToProto(ca);
  return absl::OkStatus();
}
END_RPC

RPC(ImportInternalCa) {
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(request->display_name()));
  RETURN_IF_ERROR(base::rpc::CheckDescription(request->description()));
  if (request->pkcs12().size() > (1 << 20)) {
    return base::InvalidField("pkcs12", "FILE_TOO_LARGE", "at most 1 MiB");
  }
  CaImport import{request->display_name(), request->description(),
                  request->pkcs12(),       base::Secret(std::string_view(request->passphrase())),
                  request->enable(),       request->validate_only()};
  ASSIGN_OR_RETURN(db::InternalCaRecord ca, cas_.Import(import, caller.actor));
  *response->mutable_internal_ca() = ToProto(ca);
  return absl::OkStatus();
}
END_RPC

RPC(GetInternalCa) {
  return database_.InTransaction("ca_get", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::int64_t id, ResolveInternalCa(tx, request->name(), "name"));
    ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::GetInternalCa(tx, id));
    *response->mutable_internal_ca() = ToProto(ca);
    return absl::OkStatus();
  });
}
END_RPC

RPC(ListInternalCas) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t after, base::rpc::ReadIdPageToken(kCollection, request->page_token(), 0));
  return database_.InTransaction("ca_list", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto cas, db::ListInternalCas(tx, request->enabled_only(), after, size));
    for (const auto& ca : cas) *response->add_internal_cas() = ToProto(ca);
    if (static_cast<int>(cas.size()) == size) {
      response->set_next_page_token(base::rpc::MakePageToken(kCollection, cas.back().id));
    }
    return absl::OkStatus();
  });
}
END_RPC

RPC(UpdateInternalCa) {
  return database_.InTransaction("ca_update", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::int64_t id, ResolveInternalCa(tx, request->name(), "name"));
    ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::LockInternalCa(tx, id));
    if (request->has_display_name()) ca.display_name = request->display_name();
    if (request->has_description()) ca.description = request->description();
    RETURN_IF_ERROR(base::rpc::CheckDisplayName(ca.display_name));
    RETURN_IF_ERROR(base::rpc::CheckDescription(ca.description));
    RETURN_IF_ERROR(db::UpdateInternalCa(tx, ca));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "ca.update", absl::StrCat("internalCas/", id)}}));
    *response->mutable_internal_ca() = ToProto(ca);
    return absl::OkStatus();
  });
}
END_RPC

RPC(EnableInternalCa) {
  ASSIGN_OR_RETURN(std::int64_t id, Resolve(request->name(), "name"));
  std::vector<std::string> none;
  ASSIGN_OR_RETURN(db::InternalCaRecord ca, cas_.SetEnabled(id, true, false, caller.actor, &none));
  *response->mutable_internal_ca() = ToProto(ca);
  return absl::OkStatus();
}
END_RPC

RPC(DisableInternalCa) {
  ASSIGN_OR_RETURN(std::int64_t id, Resolve(request->name(), "name"));
  std::vector<std::string> affected;
  ASSIGN_OR_RETURN(db::InternalCaRecord ca,
                   cas_.SetEnabled(id, false, request->force(), caller.actor, &affected));
  *response->mutable_internal_ca() = ToProto(ca);
  for (const std::string& connector : affected) response->add_affected_connectors(connector);
  return absl::OkStatus();
}
END_RPC

RPC(DeleteInternalCa) {
  static_cast<void>(response);
  ASSIGN_OR_RETURN(std::int64_t id, Resolve(request->name(), "name"));
  return cas_.Delete(id, caller.actor);
}
END_RPC

RPC(ExportInternalCa) {
  const bool der = request->format() == v1::ExportInternalCaRequest::DER;
  if (der && request->include_chain()) {
    return base::InvalidField("include_chain", "DER_HOLDS_ONE_CERTIFICATE",
                              "a DER file holds one certificate; use PEM for a chain");
  }
  return database_.InTransaction("ca_export", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::int64_t id, ResolveInternalCa(tx, request->name(), "name"));
    ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::GetInternalCa(tx, id));
    if (ca.certificate.empty()) {
      return base::WithReason(
          absl::FailedPreconditionError("the internal CA is a draft without a certificate"), "CA_IS_DRAFT");
    }
    std::string content =
        der ? std::string(ca.certificate.begin(), ca.certificate.end()) : ToPem(ca.certificate);
    if (request->include_chain()) {
      for (const base::Bytes& parent : ca.chain) content += ToPem(parent);
    }
    response->set_content(content);
    return db::AppendAudit(tx, {{caller.actor, "ca.export", absl::StrCat("internalCas/", id)}});
  });
}
END_RPC
#undef RPC

grpc::Status CertificateService::GetCertificate(grpc::ServerContext* context,
                                                const v1::GetCertificateRequest* request,
                                                v1::GetCertificateResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.ca.v1.CertificateService/GetCertificate", [&](const Caller&) -> absl::Status {
        ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->name(), kCertificates, "name"));
        return database_.InTransaction("certificate_get", [&](db::Tx& tx) -> absl::Status {
          ASSIGN_OR_RETURN(db::CertificateRecord record, base::WithField(db::GetCertificate(tx, id), "name"));
          *response->mutable_certificate() = ToProto(record);
          return absl::OkStatus();
        });
      });
}

grpc::Status CertificateService::ListCertificates(grpc::ServerContext* context,
                                                  const v1::ListCertificatesRequest* request,
                                                  v1::ListCertificatesResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.ca.v1.CertificateService/ListCertificates", [&](const Caller&) -> absl::Status {
        ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
        ASSIGN_OR_RETURN(std::int64_t before,
                         base::rpc::ReadIdPageToken(kCertificates, request->page_token(),
                                                    std::numeric_limits<std::int64_t>::max()));
        return database_.InTransaction("certificate_list", [&](db::Tx& tx) -> absl::Status {
          db::CertificateFilter filter;
          if (!request->internal_ca().empty()) {
            ASSIGN_OR_RETURN(filter.ca_id, ResolveInternalCa(tx, request->internal_ca(), "internal_ca"));
          }
          if (!request->device().empty()) {
            ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->device(), "device"));
            ASSIGN_OR_RETURN(db::DeviceRecord device, base::WithField(db::GetDeviceByMac(tx, mac), "device"));
            filter.device_id = device.id;
          }
          ASSIGN_OR_RETURN(filter.serial, ReadSerial(request->serial()));
          ASSIGN_OR_RETURN(auto records, db::ListCertificates(tx, filter, before, size));
          for (const auto& record : records) *response->add_certificates() = ToProto(record);
          if (static_cast<int>(records.size()) == size) {
            response->set_next_page_token(base::rpc::MakePageToken(kCertificates, records.back().id));
          }
          return absl::OkStatus();
        });
      });
}

}  // namespace phonepki::ca
