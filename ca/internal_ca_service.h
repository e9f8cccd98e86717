// gRPC adapters of the internal CAs and of issued certificates.
#pragma once

#include "ca/internal_cas.h"
#include "phonepki/ca/v1/certificate.grpc.pb.h"
#include "phonepki/ca/v1/internal_ca.grpc.pb.h"

namespace phonepki::ca {

// "internalCas/7" or "internalCas/<display name>" to an id. kNotFound.
absl::StatusOr<std::int64_t> ResolveInternalCa(db::Tx& tx, const std::string& name, const std::string& field);
v1::CertificateSummary SummarizeCertificate(const base::Bytes& der, bool with_pem);

class InternalCaService final : public v1::InternalCaService::Service {
 public:
  InternalCaService(db::Database& database, InternalCas& cas) : database_(database), cas_(cas) {}

#define PHONEPKI_RPC(name) \
  grpc::Status name(grpc::ServerContext*, const v1::name##Request*, v1::name##Response*) override
  PHONEPKI_RPC(CreateInternalCa);
  PHONEPKI_RPC(GenerateInternalCa);
  PHONEPKI_RPC(ImportInternalCa);
  PHONEPKI_RPC(GetInternalCa);
  PHONEPKI_RPC(ListInternalCas);
  PHONEPKI_RPC(UpdateInternalCa);
  PHONEPKI_RPC(EnableInternalCa);
  PHONEPKI_RPC(DisableInternalCa);
  PHONEPKI_RPC(DeleteInternalCa);
  PHONEPKI_RPC(ExportInternalCa);

 private:
  absl::StatusOr<std::int64_t> Resolve(const std::string& name, const std::string& field);

  db::Database& database_;
  InternalCas& cas_;
};

class CertificateService final : public v1::CertificateService::Service {
 public:
  explicit CertificateService(db::Database& database) : database_(database) {}
  PHONEPKI_RPC(GetCertificate);
  PHONEPKI_RPC(ListCertificates);
#undef PHONEPKI_RPC

 private:
  db::Database& database_;
};

}  // namespace phonepki::ca
