// api: what every function that the shared library shows to the outside is marked with.
#ifndef LLMPY_API_H
#define LLMPY_API_H

#if defined(_WIN32)
#define LLMPY_API __declspec(dllexport)
#else
#define LLMPY_API __attribute__((visibility("default")))
#endif

#endif
