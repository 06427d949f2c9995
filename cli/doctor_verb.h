// `mrs-exec doctor [--json]`: what this host has, with verdicts. Exit code 0, or 1 where something is bad.
#pragma once

namespace mrs::cli {

// argv begins with the verb. Before the process has threads (host/probe/in_child.h).
int RunDoctor(int argc, char** argv);

}  // namespace mrs::cli
