#include "ca/x509/password_based.h"

#include <limits>

#include <openssl/provider.h>

#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

using PbeParamPtr = OpenSslPtr<PBEPARAM, PBEPARAM_free>;
using Pbe2ParamPtr = OpenSslPtr<PBE2PARAM, PBE2PARAM_free>;
using Pbkdf2ParamPtr = OpenSslPtr<PBKDF2PARAM, PBKDF2PARAM_free>;
using ScryptParamsPtr = OpenSslPtr<SCRYPT_PARAMS, SCRYPT_PARAMS_free>;

constexpr std::uint64_t kTooMany = std::numeric_limits<std::uint64_t>::max();

// Lives as long as the process.
OSSL_LIB_CTX* LegacyContext() {
  static OSSL_LIB_CTX* const context = [] {
    OSSL_LIB_CTX* made = OSSL_LIB_CTX_new();
    if (made != nullptr) {
      OSSL_PROVIDER_load(made, "default");
      OSSL_PROVIDER_load(made, "legacy");  // absent on some systems: then RC2 files do not open
    }
    return made;
  }();
  return context;
}

// The parameters of `algorithm`, owned by the caller; null if they are of another type.
template <typename T>
T* Parameters(const X509_ALGOR* algorithm, const ASN1_ITEM* type) {
  if (algorithm == nullptr || algorithm->parameter == nullptr) return nullptr;
  return static_cast<T*>(ASN1_TYPE_unpack_sequence(type, algorithm->parameter));
}

std::uint64_t Value(const ASN1_INTEGER* integer) {
  std::uint64_t value = 0;
  return integer != nullptr && ASN1_INTEGER_get_uint64(&value, integer) == 1 ? value : kTooMany;
}

std::uint64_t Product(std::uint64_t a, std::uint64_t b) {
  return a != 0 && b > kTooMany / a ? kTooMany : a * b;
}

}  // namespace

LegacyScope::LegacyScope() : previous_(OSSL_LIB_CTX_set0_default(LegacyContext())) {}

LegacyScope::~LegacyScope() {
  OSSL_LIB_CTX_set0_default(previous_);
}

bool DerivationBudget::Spend(std::uint64_t iterations) {
  if (iterations > left_) return false;
  left_ -= iterations;
  return true;
}

bool DerivationBudget::Spend(const ASN1_INTEGER* iterations) {
  return Spend(Value(iterations));
}

bool DerivationBudget::Spend(const X509_ALGOR* algorithm) {
  if (algorithm == nullptr) return true;
  if (OBJ_obj2nid(algorithm->algorithm) != NID_pbes2) {
    const PbeParamPtr old(Parameters<PBEPARAM>(algorithm, ASN1_ITEM_rptr(PBEPARAM)));
    return old == nullptr || Spend(old->iter);
  }
  const Pbe2ParamPtr outer(Parameters<PBE2PARAM>(algorithm, ASN1_ITEM_rptr(PBE2PARAM)));
  if (outer == nullptr) return true;
  if (OBJ_obj2nid(outer->keyfunc->algorithm) == NID_id_scrypt) {
    const ScryptParamsPtr scrypt(Parameters<SCRYPT_PARAMS>(outer->keyfunc, ASN1_ITEM_rptr(SCRYPT_PARAMS)));
    return scrypt == nullptr || Spend(Product(Product(Value(scrypt->costParameter), Value(scrypt->blockSize)),
                                              Value(scrypt->parallelizationParameter)));
  }
  const Pbkdf2ParamPtr pbkdf2(Parameters<PBKDF2PARAM>(outer->keyfunc, ASN1_ITEM_rptr(PBKDF2PARAM)));
  return pbkdf2 == nullptr || Spend(pbkdf2->iter);
}

}  // namespace phonepki::ca
