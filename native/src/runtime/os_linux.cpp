// os_linux: the system calls of Linux.

#include <sched.h>
#include <sys/auxv.h>

#include "os_posix.h"

namespace llmpy {

int32_t current_processor() { return sched_getcpu(); }
void leave_processor(int32_t processor) {
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;  // more processors than the set has room for
    others = allowed;
    CPU_CLR(static_cast<size_t>(processor), &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
    sched_setaffinity(0, sizeof allowed, &allowed);
}

bool arm_has_dot_product() {
    constexpr unsigned long dot_product = 1ul << 20;  // HWCAP_ASIMDDP
    return (getauxval(AT_HWCAP) & dot_product) != 0;
}
bool arm_has_matrix_product() {
    constexpr unsigned long matrix_product = 1ul << 13;  // HWCAP2_I8MM
    return (getauxval(AT_HWCAP2) & matrix_product) != 0;
}

}  // namespace llmpy
