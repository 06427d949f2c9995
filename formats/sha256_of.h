// The SHA-256 of some bytes, as 32 bytes in a string.
//
//   Hex(Sha256Of("abc"))   // ba7816bf...
//
// plans/sha256.h has the same for the plan's side, which this folder does not include. Both use OpenSSL's own functions
// and not its EVP, which allocates, fetches providers, and ends the process where memory runs out meanwhile.
#pragma once

#include <string>
#include <string_view>

namespace mrs {

std::string Sha256Of(std::string_view bytes);

}  // namespace mrs
