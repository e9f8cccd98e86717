#include "provisioning/pki/issuance.h"

#include <algorithm>
#include <map>
#include <optional>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "db/audit_repository.h"
#include "db/internal_ca_repository.h"
#include "db/plugin_repository.h"

namespace phonepki::provisioning {
namespace {

constexpr absl::Duration kSourceAge = absl::Seconds(1);
constexpr absl::Duration kBackdate = absl::Minutes(5);  // for phones whose clock is a little behind

absl::Status Refuse(const std::string& reason, const std::string& text) {
  return base::WithReason(absl::FailedPreconditionError(text), reason);
}

}  // namespace

// One certificate on its way through a batch.
struct Issuance::Draft {
  const CertificateOrder* order = nullptr;  // null for a test
  std::shared_ptr<const Source> source;
  absl::Status status;
  std::optional<ca::PrivateKey> key;
  std::optional<ca::IssuancePermit> permit;
  std::string subject_key;
  db::CertificateRecord record;
  bool reused = false;
};

absl::StatusOr<std::shared_ptr<Issuance::Source>> Issuance::Read(std::int64_t connector_id) {
  auto source = std::make_shared<Source>();
  source->loaded = clock_.Now();
  RETURN_IF_ERROR(database_.InTransaction("issuance_source", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::GetConnector(tx, connector_id));
    if (!connector.plugin_id || !connector.issuing_ca_id) {
      return Refuse("CONNECTOR_INCOMPLETE",
                    absl::StrCat("connector \"", connector.display_name,
                                 "\" needs a plug-in configuration and an issuing CA"));
    }
    ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, *connector.plugin_id));
    ASSIGN_OR_RETURN(source->ca, db::GetInternalCa(tx, *connector.issuing_ca_id));
    ASSIGN_OR_RETURN(IssuancePolicy policy,
                     ReadPolicy(MergeProperties(plugin.properties, connector.request_parameters)));
    source->policy = std::make_unique<IssuancePolicy>(std::move(policy));
    if (!connector.enabled) {
      source->usable = Refuse("CONNECTOR_DISABLED",
                              absl::StrCat("connector \"", connector.display_name, "\" is not enabled"));
    } else if (!plugin.enabled) {
      source->usable =
          Refuse("PLUGIN_DISABLED", absl::StrCat("plug-in \"", plugin.display_name, "\" is not enabled"));
    } else if (!source->ca.enabled) {
      source->usable =
          Refuse("CA_DISABLED", absl::StrCat("internal CA \"", source->ca.display_name, "\" is not enabled"));
    }
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(source->issuer, issuers_.Get(source->ca));
  source->anchors = {source->ca.chain.empty() ? source->ca.certificate : source->ca.chain.back()};
  return source;
}

absl::StatusOr<std::shared_ptr<const Issuance::Source>> Issuance::Load(std::int64_t connector_id) {
  {
    absl::MutexLock lock(&mutex_);
    const auto found = sources_.find(connector_id);
    if (found != sources_.end() && clock_.Now() - found->second->loaded < kSourceAge) return found->second;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const Source> source, Read(connector_id));
  absl::MutexLock lock(&mutex_);
  sources_[connector_id] = source;
  return source;
}

absl::Status Issuance::Prepare(const Source& source, const std::string& kind, const ca::EndPointNames& names,
                               Draft& draft) {
  ASSIGN_OR_RETURN(ca::RenderedSubject rendered,
                   source.policy->subject_template.Render(names, source.policy->name_source));
  ASSIGN_OR_RETURN(ca::CertificateKind parsed, ca::ParseCertificateKind(kind, "kind"));
  ca::Profile profile = ca::LeafProfile(parsed);
  profile.allow_2038 = source.policy->allow_past_2038;
  profile.allow_rsa1024 = source.policy->allow_legacy;
  const absl::Time not_before = std::max(clock_.Now() - kBackdate, source.issuer->not_before());
  const absl::Time not_after = not_before + source.policy->validity_days * absl::Hours(24);
  ASSIGN_OR_RETURN(draft.key, keys_.Generate(source.policy->key_algorithm));
  ASSIGN_OR_RETURN(draft.permit,
                   source.issuer->Prepare(profile, {rendered.subject, rendered.names, draft.key->spki_der(),
                                                    not_before, not_after}));
  draft.subject_key = rendered.subject.Canonical();
  draft.record.ca_id = source.ca.id;
  draft.record.serial = draft.permit->serial();
  draft.record.kind = kind;
  draft.record.subject = rendered.subject.Print();
  draft.record.not_before = not_before;
  draft.record.not_after = not_after;
  draft.record.tbs_digest = draft.permit->tbs_digest();
  return absl::OkStatus();
}

absl::Status Issuance::RecordIntents(std::vector<Draft*>& drafts) {
  return database_.InTransaction("issuance_intents", [&](db::Tx& tx) -> absl::Status {
    std::vector<db::JobFence> fences;
    for (Draft* draft : drafts) {
      if (draft->order->job.job_id != 0) fences.push_back(draft->order->job);
    }
    ASSIGN_OR_RETURN(std::vector<std::int64_t> held, db::HeldJobs(tx, fences));
    const absl::flat_hash_set<std::int64_t> held_jobs(held.begin(), held.end());
    std::map<std::int64_t, std::vector<Draft*>> by_ca;
    for (Draft* draft : drafts) {
      const std::int64_t job = draft->order->job.job_id;
      draft->status = job == 0 || held_jobs.contains(job)
                          ? absl::OkStatus()
                          : absl::AbortedError("the job is in other hands by now");
      if (draft->status.ok()) by_ca[draft->source->ca.id].push_back(draft);
    }
    std::vector<db::CertificateRecord> intents;
    std::vector<Draft*> intended;
    std::vector<db::AuditRecord> audit;
    for (auto& [ca_id, group] : by_ca) {
      std::vector<std::string> keys, subjects, slots;
      std::vector<std::int64_t> devices;
      for (Draft* draft : group) {
        keys.push_back(draft->subject_key);
        subjects.push_back(draft->record.subject);
        devices.push_back(draft->order->device_id);
        slots.push_back(draft->order->slot);
      }
      ASSIGN_OR_RETURN(std::vector<bool> owned, db::ClaimSubjects(tx, ca_id, keys, subjects, devices, slots));
      for (std::size_t i = 0; i < group.size(); ++i) {
        if (!owned[i]) {
          group[i]->status = Refuse("SUBJECT_TAKEN", absl::StrCat("the subject \"", group[i]->record.subject,
                                                                  "\" belongs to another device (C-09)"));
          continue;
        }
        intents.push_back(group[i]->record);
        intended.push_back(group[i]);
      }
      audit.push_back({"system", "key.use", absl::StrCat("internalCas/", ca_id),
                       absl::StrCat("{\"certificates\": ", group.size(), "}")});
    }
    if (intents.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<std::int64_t> ids, db::InsertIntents(tx, intents));
    for (std::size_t i = 0; i < ids.size(); ++i) intended[i]->record.id = ids[i];
    return db::AppendAudit(tx, audit);
  });
}

absl::Status Issuance::SignAndStore(std::vector<Draft*>& drafts, StoreWith store) {
  std::vector<std::int64_t> ids;
  std::vector<IssuedForDevice> issued;
  std::vector<base::Bytes> ders, digests, wrapped_keys;
  for (Draft* draft : drafts) {
    if (!draft->status.ok()) continue;
    ASSIGN_OR_RETURN(draft->record.der, draft->source->issuer->Sign(*std::move(draft->permit)));
    ids.push_back(draft->record.id);
    issued.push_back({draft->order->device_id, draft->record.id});
    ders.push_back(draft->record.der);
    digests.push_back(ca::Sha256(draft->record.der));
    ASSIGN_OR_RETURN(base::Secret key, draft->key->ToPkcs8Der());
    ASSIGN_OR_RETURN(base::Bytes wrapped, keystore_.Wrap(key, ca::PhoneKeyPurpose(draft->record.serial)));
    wrapped_keys.push_back(std::move(wrapped));
  }
  if (ids.empty()) return absl::OkStatus();
  return database_.InTransaction("issuance_store", [&](db::Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(db::StoreIssued(tx, ids, ders, digests, wrapped_keys));
    return store(tx, issued);
  });
}

std::vector<absl::StatusOr<std::int64_t>> Issuance::IssueBatch(const std::vector<CertificateOrder>& orders,
                                                               StoreWith store) {
  std::vector<Draft> drafts(orders.size());
  std::vector<std::int64_t> job_ids;
  for (const CertificateOrder& order : orders) job_ids.push_back(order.job.job_id);
  absl::StatusOr<std::vector<db::CertificateRecord>> earlier = database_.InTransactionReturning(
      "issuance_reuse", [&](db::Tx& tx) { return db::FindIssuedForJobs(tx, job_ids); });
  std::vector<Draft*> fresh;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    Draft& draft = drafts[i];
    draft.order = &orders[i];
    draft.status = earlier.status();
    if (!draft.status.ok()) continue;
    absl::StatusOr<std::shared_ptr<const Source>> source = Load(orders[i].connector_id);
    draft.status = source.ok() ? (*source)->usable : source.status();
    if (!draft.status.ok()) continue;
    draft.source = *source;
    absl::StatusOr<ca::RenderedSubject> subject =
        draft.source->policy->subject_template.Render(orders[i].names, draft.source->policy->name_source);
    draft.status = subject.status();
    if (!draft.status.ok()) continue;
    for (const db::CertificateRecord& known : *earlier) {
      if (known.job_id != orders[i].job.job_id || known.subject != subject->subject.Print()) continue;
      draft.record.id = known.id;
      draft.reused = true;
    }
    if (draft.reused) continue;
    draft.status = Prepare(*draft.source, orders[i].kind, orders[i].names, draft);
    draft.record.device_id = orders[i].device_id;
    draft.record.slot = orders[i].slot;
    if (orders[i].job.job_id != 0) {
      draft.record.job_id = orders[i].job.job_id;
      draft.record.job_attempt = orders[i].job.attempt;
    }
    if (draft.status.ok()) fresh.push_back(&draft);
  }
  absl::Status batch = fresh.empty() ? absl::OkStatus() : RecordIntents(fresh);
  if (batch.ok()) batch = SignAndStore(fresh, store);
  for (Draft* draft : fresh) {
    if (!batch.ok() && draft->status.ok()) draft->status = batch;
  }
  std::vector<absl::StatusOr<std::int64_t>> results;
  for (Draft& draft : drafts) {
    if (draft.status.ok()) {
      results.emplace_back(draft.record.id);
    } else {
      results.emplace_back(draft.status);
    }
  }
  return results;
}

absl::StatusOr<ConnectorTestResult> Issuance::Test(std::int64_t connector_id, const std::string& actor) {
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(std::shared_ptr<Source> source, Read(connector_id));
  if (!source->ca.enabled) {
    return Refuse("CA_DISABLED",
                  absl::StrCat("internal CA \"", source->ca.display_name, "\" is not enabled"));
  }
  // Documentation addresses and names (RFC 5737, RFC 2606): no phone has them.
  const ca::EndPointNames names{"00:00:5E:00:53:01", "192.0.2.1", "connector-test.example", "0", "Test"};
  Draft draft;
  RETURN_IF_ERROR(Prepare(*source, "wbm", names, draft));
  ASSIGN_OR_RETURN(std::vector<std::int64_t> ids,
                   database_.InTransactionReturning(
                       "connector_test_intent", [&](db::Tx& tx) -> absl::StatusOr<std::vector<std::int64_t>> {
                         const std::string object = absl::StrCat("connectors/", connector_id);
                         RETURN_IF_ERROR(db::AppendAudit(
                             tx, {{actor, "connector.test", object},
                                  {actor, "key.use", absl::StrCat("internalCas/", source->ca.id),
                                   "{\"certificates\": 1}"}}));
                         return db::InsertIntents(tx, {draft.record});
                       }));
  absl::StatusOr<base::Bytes> der = source->issuer->Sign(*std::move(draft.permit));
  RETURN_IF_ERROR(database_.InTransaction("connector_test_discard",
                                          [&](db::Tx& tx) { return db::DiscardCertificates(tx, ids); }));
  RETURN_IF_ERROR(der.status());
  std::vector<base::Bytes> intermediates = source->ca.chain;
  intermediates.push_back(source->ca.certificate);
  RETURN_IF_ERROR(ca::VerifyChain(*der, intermediates, source->anchors, clock_.Now()));
  return ConnectorTestResult{*std::move(der), absl::Now() - start};
}

absl::StatusOr<ca::PrivateKey> Issuance::OpenKey(const db::DeliverableRecord& deliverable) const {
  if (deliverable.wrapped_key.empty()) {
    return Refuse("KEY_ERASED", "the private key of this certificate has been erased after activation");
  }
  ASSIGN_OR_RETURN(base::Secret der,
                   keystore_.Unwrap(deliverable.wrapped_key, ca::PhoneKeyPurpose(deliverable.serial)));
  return ca::PrivateKey::FromPkcs8Der(der);
}

absl::StatusOr<base::Secret> Issuance::MakePkcs12(const db::DeliverableRecord& deliverable,
                                                  const base::Secret& passphrase,
                                                  ca::Pkcs12Encryption encryption, int iterations) const {
  ASSIGN_OR_RETURN(ca::PrivateKey key, OpenKey(deliverable));
  return ca::WritePkcs12(deliverable.certificate, key, deliverable.chain, passphrase, encryption, "phonepki",
                         iterations);
}

absl::StatusOr<base::Secret> Issuance::MakePem(const db::DeliverableRecord& deliverable) const {
  ASSIGN_OR_RETURN(ca::PrivateKey key, OpenKey(deliverable));
  ASSIGN_OR_RETURN(base::Secret key_pem, ca::PrivateKeyToPem(key));
  std::string pem = ca::ToPem(deliverable.certificate);
  for (const base::Bytes& parent : deliverable.chain) pem += ca::ToPem(parent);
  pem += key_pem.view();
  base::Secret all(pem);
  base::WipeMemory(pem.data(), pem.size());
  return all;
}

}  // namespace phonepki::provisioning
