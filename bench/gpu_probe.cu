// What decides how a CUDA device of llmpy would be built: reading, the cost of a kernel and of a barrier of the
// whole grid, and of bringing a few bytes to the host. gpu_probe.py compiles and runs it; a line is a name and a number.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kThreads = 256;
constexpr int kKernels = 200;   // of a graph
constexpr int kBarriers = 1000;
cudaStream_t stream;

void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) {
        std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
        std::exit(1);
    }
}
#define CHECK(call) check((call), #call)

__global__ void nothing(int wait) {
#if __CUDA_ARCH__ >= 900
    if (wait) {
        asm volatile("griddepcontrol.launch_dependents;");
        asm volatile("griddepcontrol.wait;" ::: "memory");
    }
#endif
}

__global__ void read_all(const uint4* words, size_t n, uint4* out) {
    constexpr int kAtOnce = 8;
    const size_t step = (size_t)gridDim.x * blockDim.x;
    uint4 sum = {0, 0, 0, 0};
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i + (kAtOnce - 1) * step < n; i += kAtOnce * step) {
        uint4 v[kAtOnce];
#pragma unroll
        for (int u = 0; u < kAtOnce; u++) {
            v[u] = __ldcs(words + i + u * step);
        }
#pragma unroll
        for (int u = 0; u < kAtOnce; u++) {
            sum.x ^= v[u].x, sum.y ^= v[u].y, sum.z ^= v[u].z, sum.w ^= v[u].w;
        }
    }
    if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == 0x12345) {
        *out = sum;
    }
}

// All blocks are resident; `count` goes on from `start`, so that nothing has to be reset.
__global__ void barriers(unsigned* count, unsigned start, int n) {
    unsigned target = start;
    for (int i = 0; i < n; i++) {
        target += gridDim.x;
        __syncthreads();
        if (threadIdx.x == 0) {
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
            unsigned now;
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(count) : "memory");
            } while ((int)(now - target) < 0);
        }
        __syncthreads();
    }
}

// Median seconds of work in the stream.
template <class F>
double timed(F work, int n = 11) {
    cudaEvent_t begin, end;
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    work();
    CHECK(cudaStreamSynchronize(stream));
    std::vector<float> found;
    for (int i = 0; i < n; i++) {
        float milliseconds;
        CHECK(cudaEventRecord(begin, stream));
        work();
        CHECK(cudaEventRecord(end, stream));
        CHECK(cudaEventSynchronize(end));
        CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
        found.push_back(milliseconds);
    }
    std::sort(found.begin(), found.end());
    return found[n / 2] * 1e-3;
}

// `dependent`: the next kernel begins while this one ends (programmatic dependent launch).
void launch(int grid, bool dependent) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(grid);
    config.blockDim = dim3(kThreads);
    config.stream = stream;
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = dependent ? 1 : 0;
    CHECK(cudaLaunchKernelEx(&config, nothing, dependent ? 1 : 0));
}

cudaGraphExec_t graph_of_kernels(int grid, bool dependent) {
    cudaGraph_t graph;
    cudaGraphExec_t made;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kKernels; i++) {
        launch(grid, dependent && i > 0);
    }
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&made, graph, 0));
    return made;
}

void reading(int processors, size_t free_bytes) {
    const size_t n_bytes = std::min<size_t>((size_t)8 << 30, free_bytes / 2) & ~(size_t)4095;
    uint4 *words, *out;
    CHECK(cudaMalloc(&words, n_bytes));
    CHECK(cudaMalloc(&out, sizeof(uint4)));
    CHECK(cudaMemset(words, 1, n_bytes));
    double best = 1e9;
    for (int blocks : {1, 2, 4}) {
        best = std::min(best, timed([&] {
                            read_all<<<processors * blocks, 512, 0, stream>>>(words, n_bytes / 16, out);
                            CHECK(cudaGetLastError());
                        }));
    }
    std::printf("reading GB/s %.1f\n", n_bytes / best / 1e9);
    void* host;
    CHECK(cudaMallocHost(&host, 513024));
    for (size_t size : {(size_t)4, (size_t)513024}) {
        const double seconds = timed([&] {
            CHECK(cudaMemcpyAsync(host, words, size, cudaMemcpyDeviceToHost, stream));
            CHECK(cudaStreamSynchronize(stream));
        });
        std::printf("reading %zu bytes to the host us %.2f\n", size, seconds * 1e6);
    }
    CHECK(cudaFreeHost(host));
    CHECK(cudaFree(words));
    CHECK(cudaFree(out));
}

void kernels(int processors, int capability) {
    const double in_stream = timed([&] {
        for (int i = 0; i < kKernels; i++) {
            launch(processors, false);
        }
    });
    std::printf("a kernel in a stream us %.3f\n", in_stream / kKernels * 1e6);
    for (bool dependent : {false, true}) {
        if (dependent && capability < 9) {
            continue;
        }
        cudaGraphExec_t graph = graph_of_kernels(processors, dependent);
        const double seconds = timed([&] { CHECK(cudaGraphLaunch(graph, stream)); });
        std::printf("a kernel in a graph%s us %.3f\n", dependent ? ", launched ahead" : "", seconds / kKernels * 1e6);
        CHECK(cudaGraphExecDestroy(graph));
    }
}

void grid_barriers(int processors) {
    unsigned* count;
    CHECK(cudaMalloc(&count, 128));
    CHECK(cudaMemset(count, 0, 128));
    unsigned start = 0;
    int n = kBarriers;
    for (int blocks : {1, 2}) {
        const int grid = processors * blocks;
        const double seconds = timed([&] {
            void* arguments[] = {&count, &start, &n};
            CHECK(cudaLaunchCooperativeKernel((void*)barriers, dim3(grid), dim3(kThreads), arguments, 0, stream));
            start += (unsigned)grid * n;
        });
        std::printf("a barrier of %d blocks a multiprocessor us %.3f\n", blocks, seconds / kBarriers * 1e6);
    }
    CHECK(cudaFree(count));
}

}  // namespace

int main() {
    cudaDeviceProp found;
    size_t free_bytes, total;
    CHECK(cudaGetDeviceProperties(&found, 0));
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMemGetInfo(&free_bytes, &total));
    std::fprintf(stderr, "CUDA device: %s, %d multiprocessors\n", found.name, found.multiProcessorCount);
    reading(found.multiProcessorCount, free_bytes);
    kernels(found.multiProcessorCount, found.major);
    grid_barriers(found.multiProcessorCount);
    return 0;
}
