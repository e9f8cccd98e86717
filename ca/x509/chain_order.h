// Which certificate of a heap stands above which.
#pragma once

#include <vector>

#include "base/bytes.h"

namespace phonepki::ca {

// Takes out of `heap` the certificates above `leaf`, nearest first, up to and with a self-signed one. One
// stands above another if the names and key identifiers fit and its key made the signature; the order of the
// heap says nothing. Of several certificates of one CA the self-signed one is taken, else the one that lives
// longest. What cannot be decoded stays in the heap. At most kMaxChainLength.
inline constexpr std::size_t kMaxChainLength = 10;
std::vector<base::Bytes> TakeChain(const base::Bytes& leaf, std::vector<base::Bytes>* heap);

}  // namespace phonepki::ca
