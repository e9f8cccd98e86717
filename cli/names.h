// What people type for a resource, and the resource name that the API takes.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <google/protobuf/repeated_field.h>

#include "phonepki/common/v1/property.pb.h"

namespace phonepki::cli {

// "7", "My CA" or "internalCas/7" for collection "internalCas"; empty stays empty.
std::string ResourceName(const std::string& collection, const std::string& text);

// "001ae8000001", "00-1A-E8-00-00-01", "00:1a:..." or "devices/..." to "devices/00:1A:E8:00:00:01".
absl::StatusOr<std::string> DeviceName(const std::string& text);
// The beginning of a MAC address in the form that the API compares: upper case with colons.
absl::StatusOr<std::string> MacPrefix(const std::string& text);

// "name=value" each; the value may hold further '=' and may be empty.
absl::Status ParseProperties(const std::vector<std::string>& texts, const std::string& field,
                             google::protobuf::RepeatedPtrField<common::v1::Property>* properties);

// A version 4 UUID: the idempotency key of a create call.
std::string NewRequestId();

}  // namespace phonepki::cli
