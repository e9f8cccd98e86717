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

// What empties a place of the slot: the item without a value (U4). `position` is that of a CA slot.
phone::Item DeletionItem(const CertificateSlot& slot, int position);
// The item of one place of a CA slot.
phone::Item CaItem(const CertificateSlot& slot, int position, const base::Bytes& certificate);

// What to ask after the write; empty: nothing tells. Settings are read as they are written.
std::vector<phone::Item> InfoItems(const CertificateSlot& slot);

// The value of the slot's info item as the phone said it, at most 8000 octets.
std::string InfoOf(const CertificateSlot& slot, const phone::WorkpointMessage& message);

// The serial number that the info item tells, lower case hexadecimal; empty when it tells none (U5).
std::string SerialOf(const CertificateSlot& slot, const std::string& info);

}  // namespace phonepki::provisioning
