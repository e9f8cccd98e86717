#include "provisioning/manual/manual_deployment_service.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_replace.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "provisioning/manual/selection_service.h"
#include "provisioning/pki/pki_service.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = deployment::v1;

constexpr std::size_t kSha256Digits = 64;

void Fill(const std::vector<ca::CertificateInfo>& certificates, v1::ImportCertificatesResponse* response) {
  for (const ca::CertificateInfo& info : certificates) {
    v1::FileCertificate* proto = response->add_certificates();
    proto->set_subject(info.subject);
    proto->set_issuer(info.issuer);
    proto->set_serial(ca::HexLower(info.serial));
    *proto->mutable_not_before() = base::rpc::ToProto(info.not_before);
    *proto->mutable_not_after() = base::rpc::ToProto(info.not_after);
    proto->set_sha256_fingerprint(ca::HexLower(info.sha256));
  }
}

// As people copy it: with colons or without, in either case.
absl::StatusOr<std::string> ReadFingerprint(const std::string& text) {
  const std::string digits = absl::AsciiStrToLower(absl::StrReplaceAll(text, {{":", ""}, {" ", ""}}));
  if (digits.empty()) return digits;
  if (digits.size() != kSha256Digits || digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return base::InvalidField("sha256_fingerprint", "FINGERPRINT",
                              "must be 64 hexadecimal digits, with or without colons");
  }
  return digits;
}

}  // namespace

#define RPC(name)                                                                                            \
  grpc::Status ManualDeploymentService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                             v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.deployment.v1.ManualDeploymentService/" #name,                 \
                             [&](const Caller& caller) -> absl::Status
#define END_RPC \
  );            \
  }

RPC(ImportCertificates) {
  ASSIGN_OR_RETURN(Selection selection, ReadSelection(database_, request->selection()));
  const ManualOptions options{request->activate(), request->replace(), request->share_key(),
                              request->validate_only()};
  if (request->source_case() == v1::ImportCertificatesRequest::kFile) {
    ASSIGN_OR_RETURN(ManualDeployment::FileImport import,
                     manual_.ImportFile(selection, request->certificate_type(), request->file().content(),
                                        base::Secret(std::string_view(request->file().passphrase())), options,
                                        caller.actor));
    Fill(import.outcomes, response);
    Fill(import.certificates, response);
    return absl::OkStatus();
  }
  if (request->source_case() != v1::ImportCertificatesRequest::kConnector) {
    return base::InvalidField("source", "SOURCE", "must be a file or a connector");
  }
  ASSIGN_OR_RETURN(std::int64_t connector,
                   database_.InTransactionReturning("import_connector", [&](db::Tx& tx) {
                     return ResolveConnector(tx, request->connector(), "connector");
                   }));
  ASSIGN_OR_RETURN(
      std::vector<DeviceOutcome> outcomes,
      manual_.ImportFromConnector(selection, request->certificate_type(), connector, options, caller.actor));
  Fill(outcomes, response);
  return absl::OkStatus();
}
END_RPC

RPC(ActivateCertificates) {
  ASSIGN_OR_RETURN(Selection selection, ReadSelection(database_, request->selection()));
  ASSIGN_OR_RETURN(
      std::vector<DeviceOutcome> outcomes,
      manual_.Activate(selection, request->certificate_type(), request->validate_only(), caller.actor));
  Fill(outcomes, response);
  return absl::OkStatus();
}
END_RPC

RPC(DeleteCertificates) {
  ASSIGN_OR_RETURN(Selection selection, ReadSelection(database_, request->selection()));
  ASSIGN_OR_RETURN(std::string sha256, ReadFingerprint(request->sha256_fingerprint()));
  if (request->which() != v1::DeleteCertificatesRequest::IMPORTED &&
      request->which() != v1::DeleteCertificatesRequest::ACTIVE) {
    return base::InvalidField("which", "WHICH", "must be IMPORTED or ACTIVE");
  }
  const bool imported = request->which() == v1::DeleteCertificatesRequest::IMPORTED;
  ASSIGN_OR_RETURN(std::vector<DeviceOutcome> outcomes,
                   imported ? manual_.DeleteImported(selection, request->certificate_type(), sha256,
                                                     request->validate_only(), caller.actor)
                            : manual_.DeleteActive(selection, request->certificate_type(), sha256,
                                                   request->validate_only(), caller.actor));
  Fill(outcomes, response);
  return absl::OkStatus();
}
END_RPC

}  // namespace phonepki::provisioning
