#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <gmp.h>
#include <nettle/rsa.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <sys/random.h>

#include "base/status_macros.h"
#include "ca/x509/key.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

constexpr unsigned kPublicExponent = 65537;

// GMP hands memory back without clearing it, and intermediate values of key generation are as secret as the
// key. Our hooks use malloc like GMP's own, so blocks from before they were set may be freed through them.
void* GmpAllocate(std::size_t size) {
  void* block = std::malloc(size);
  if (block == nullptr) std::abort();
  return block;
}

void GmpFree(void* block, std::size_t size) {
  base::WipeMemory(block, size);
  std::free(block);
}

void* GmpReallocate(void* block, std::size_t old_size, std::size_t new_size) {
  void* fresh = GmpAllocate(new_size);
  std::memcpy(fresh, block, old_size < new_size ? old_size : new_size);
  GmpFree(block, old_size);
  return fresh;
}

struct RandomSource {
  bool failed = false;
};

// nettle cannot be told that randomness failed: the kernel's is put in its place, so that its search for
// primes ends, and the result is thrown away.
void FillRandom(void* context, std::size_t length, std::uint8_t* out) {
  if (RAND_priv_bytes(out, static_cast<int>(length)) == 1) return;
  static_cast<RandomSource*>(context)->failed = true;
  for (std::size_t done = 0; done < length;) {
    const ssize_t got = getrandom(out + done, length - done, 0);
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) done += static_cast<std::size_t>(got);
  }
}

struct NettleKeyPair {
  NettleKeyPair() {
    rsa_public_key_init(&public_key);
    rsa_private_key_init(&private_key);
  }
  // Through GmpFree, which wipes.
  ~NettleKeyPair() {
    rsa_private_key_clear(&private_key);
    rsa_public_key_clear(&public_key);
  }
  NettleKeyPair(const NettleKeyPair&) = delete;
  NettleKeyPair& operator=(const NettleKeyPair&) = delete;

  rsa_public_key public_key;
  rsa_private_key private_key;
};

BignumPtr ToBignum(const mpz_t value) {
  base::Bytes octets((mpz_sizeinbase(value, 2) + 7) / 8);
  std::size_t count = 0;
  mpz_export(octets.data(), &count, 1, 1, 1, 0, value);
  BignumPtr number(BN_secure_new());
  if (number != nullptr && BN_bin2bn(octets.data(), static_cast<int>(count), number.get()) == nullptr)
    number.reset();
  base::WipeMemory(octets.data(), octets.size());
  return number;
}

absl::StatusOr<PkeyPtr> FromNettle(const NettleKeyPair& pair) {
  struct Part {
    const char* name;
    BignumPtr value;
  };
  const Part parts[] = {
      {OSSL_PKEY_PARAM_RSA_N, ToBignum(pair.public_key.n)},
      {OSSL_PKEY_PARAM_RSA_E, ToBignum(pair.public_key.e)},
      {OSSL_PKEY_PARAM_RSA_D, ToBignum(pair.private_key.d)},
      {OSSL_PKEY_PARAM_RSA_FACTOR1, ToBignum(pair.private_key.p)},
      {OSSL_PKEY_PARAM_RSA_FACTOR2, ToBignum(pair.private_key.q)},
      {OSSL_PKEY_PARAM_RSA_EXPONENT1, ToBignum(pair.private_key.a)},
      {OSSL_PKEY_PARAM_RSA_EXPONENT2, ToBignum(pair.private_key.b)},
      {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, ToBignum(pair.private_key.c)},
  };
  ERR_clear_error();
  const ParamBuildPtr build(OSSL_PARAM_BLD_new());
  if (build == nullptr) return OpenSslError("preparing an RSA key");
  for (const Part& part : parts) {
    if (part.value == nullptr || OSSL_PARAM_BLD_push_BN(build.get(), part.name, part.value.get()) != 1) {
      return OpenSslError("preparing an RSA key");
    }
  }
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(build.get()));
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()) != 1) {
    return OpenSslError("taking over an RSA key");
  }
  return PkeyPtr(key);
}

absl::StatusOr<PkeyPtr> GenerateWithNettle(unsigned bits) {
  static std::once_flag hooks_set;
  std::call_once(hooks_set, [] { mp_set_memory_functions(GmpAllocate, GmpReallocate, GmpFree); });
  NettleKeyPair pair;
  RandomSource random;
  mpz_set_ui(pair.public_key.e, kPublicExponent);
  const int made = rsa_generate_keypair(&pair.public_key, &pair.private_key, &random, FillRandom, nullptr,
                                        nullptr, bits, /*e_size=*/0);
  if (made != 1) return absl::InternalError("generating an RSA key failed");
  if (random.failed) return OpenSslError("the random source failed while generating an RSA key");
  return FromNettle(pair);
}

unsigned RsaBits(KeyAlgorithm algorithm) {
  switch (algorithm) {
    case KeyAlgorithm::kRsa1024:
      return 1024;
    case KeyAlgorithm::kRsa2048:
      return 2048;
    case KeyAlgorithm::kRsa3072:
      return 3072;
    case KeyAlgorithm::kRsa4096:
      return 4096;
    default:
      return 0;
  }
}

}  // namespace

absl::StatusOr<PrivateKey> KeyGenerator::Generate(KeyAlgorithm algorithm) const {
  ERR_clear_error();
  PkeyPtr key;
  const unsigned bits = RsaBits(algorithm);
  if (bits != 0 && rsa_ == RsaGenerator::kNettle) {
    ASSIGN_OR_RETURN(key, GenerateWithNettle(bits));
  } else if (bits != 0) {
    key.reset(EVP_RSA_gen(bits));
  } else {
    key.reset(EVP_EC_gen(algorithm == KeyAlgorithm::kEcdsaP256 ? "P-256" : "P-384"));
  }
  if (key == nullptr) return OpenSslError("generating a key");
  return PrivateKey::FromPkey(std::move(key));
}

}  // namespace phonepki::ca
