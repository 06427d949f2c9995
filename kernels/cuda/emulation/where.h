// Says to standard error which function, file and line code is of, where addr2line is there and knows.
#pragma once

namespace mrs::emulation {

void SayWhere(const void* code);

}  // namespace mrs::emulation
