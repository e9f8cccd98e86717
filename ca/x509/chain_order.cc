#include "ca/x509/chain_order.h"

#include <algorithm>

#include <openssl/err.h>

#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

X509Ptr Decode(const base::Bytes& der) {
  const unsigned char* next = der.data();
  return X509Ptr(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
}

bool SelfSigned(const X509Ptr& certificate) {
  return X509_self_signed(certificate.get(), /*verify_signature=*/0) == 1;
}

// A hostile heap offers many certificates of one name, with keys that take long to compute with.
constexpr int kMaxSignatureChecks = 100;

bool StandsAbove(const X509Ptr& parent, const X509Ptr& child, int* checks_left) {
  return X509_check_issued(parent.get(), child.get()) == X509_V_OK && (*checks_left)-- > 0 &&
         X509_verify(child.get(), X509_get0_pubkey(parent.get())) == 1;
}

bool Better(const X509Ptr& one, const X509Ptr& other) {
  if (SelfSigned(one) != SelfSigned(other)) return SelfSigned(one);
  return ASN1_TIME_compare(X509_get0_notAfter(one.get()), X509_get0_notAfter(other.get())) > 0;
}

}  // namespace

std::vector<base::Bytes> TakeChain(const base::Bytes& leaf, std::vector<base::Bytes>* heap) {
  std::vector<base::Bytes> chain;
  std::vector<X509Ptr> decoded;
  decoded.reserve(heap->size());
  std::transform(heap->begin(), heap->end(), std::back_inserter(decoded), Decode);
  X509Ptr child = Decode(leaf);
  int checks_left = kMaxSignatureChecks;
  while (child != nullptr && !SelfSigned(child) && chain.size() < kMaxChainLength) {
    auto best = decoded.end();
    for (auto candidate = decoded.begin(); candidate != decoded.end(); ++candidate) {
      if (*candidate == nullptr || (best != decoded.end() && !Better(*candidate, *best))) continue;
      if (StandsAbove(*candidate, child, &checks_left)) best = candidate;
    }
    if (best == decoded.end()) break;
    const auto at = heap->begin() + (best - decoded.begin());
    chain.push_back(std::move(*at));
    child = std::move(*best);
    heap->erase(at);
    decoded.erase(best);
  }
  ERR_clear_error();
  return chain;
}

}  // namespace phonepki::ca
