// The certificate of a server in tests: self-signed, made once.
#pragma once

#include "provisioning/phone/http_door.h"

namespace phonepki::provisioning::phone {

// The legacy one has another key.
const TlsIdentity& Identity(bool legacy = false);

}  // namespace phonepki::provisioning::phone
