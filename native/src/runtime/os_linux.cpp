// os_linux: the system calls of Linux.

#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

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

bool x86_may_use_tiles() {
#if defined(__x86_64__)
    constexpr long request_permission = 0x1023, data_of_tiles = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, data_of_tiles) == 0;
#else
    return false;
#endif
}

}  // namespace llmpy
