// os_darwin: the system calls of macOS.

#include <sys/sysctl.h>

#include "os_posix.h"

namespace llmpy {

namespace {

bool has_feature(const char* name) {
    int found = 0;
    size_t size = sizeof found;
    return sysctlbyname(name, &found, &size, nullptr, 0) == 0 && found != 0;
}

}  // namespace

int32_t current_processor() { return -1; }
void leave_processor(int32_t) {}

bool arm_has_dot_product() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
bool arm_has_matrix_product() { return has_feature("hw.optional.arm.FEAT_I8MM"); }

}  // namespace llmpy
