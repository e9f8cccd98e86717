// What is written into a certificate slot of a phone, and what the phone's answers about it mean (wpi.md 7).
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "db/certificate_repository.h"
#include "provisioning/delivery/delivery_options.h"
#include "provisioning/phone/wpi_message.h"
#include "provisioning/pki/issuance.h"
#include "provisioning/slots/slot_table.h"

namespace phonepki::provisioning {

// The item that puts certificate, key and chain into the slot. Its value is secret: wipe it once it is sent.
// kFailedPrecondition KEY_ERASED.
absl::StatusOr<phone::Item> CertificateItem(const CertificateSlot& slot,
                                            const db::DeliverableRecord& deliverable,
                                            const Issuance& issuance, const DeliveryOptions& options);

// One item per CA certificate, first index first (current, then next); certificates beyond the last index are
// left out. An index that gets none stays as it is on the phone.
std::vector<phone::Item> CaItems(const CertificateSlot& slot, const std::vector<base::Bytes>& certificates);

// What to ask after the write; empty: nothing tells.
std::vector<phone::Item> InfoItems(const CertificateSlot& slot);

// The value of the slot's info item as the phone said it, at most 8000 octets.
std::string InfoOf(const CertificateSlot& slot, const phone::WorkpointMessage& message);

// The serial number that the info item tells, lower case hexadecimal; empty when it tells none (U5).
std::string SerialOf(const CertificateSlot& slot, const std::string& info);

}  // namespace phonepki::provisioning
