// Security PINs: the default one and those of single phones.
#pragma once

#include "cli/command.h"

namespace phonepki::cli {

// "pin" under "phonepki secure-mode".
Command PinCommand();

}  // namespace phonepki::cli
