// The cookie that carries a phone session. Only its digest is stored.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"

namespace phonepki::provisioning {

// 128 random bits, hexadecimal.
std::string NewCookie();
base::Bytes CookieHash(const std::string& cookie);
// Value of Set-Cookie.
std::string PrintSetCookie(const std::string& cookie);
// "a=1; Path=/x" and the like, also with the attributes that some phones echo: the values of our cookie, all
// of them.
std::vector<std::string> ReadSessionCookies(const std::string& header);

}  // namespace phonepki::provisioning
