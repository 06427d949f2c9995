#include "host/source_dir_for_test.h"

namespace mrs {

std::string SourceDir() { return MRS_SOURCE_DIR; }

}  // namespace mrs
