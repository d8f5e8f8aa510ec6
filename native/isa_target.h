// KEELSON_TARGET_PUSH("avx2") ... KEELSON_TARGET_POP: what stands between is compiled for an instruction set that the rest of the program must
// not use. One definition a file, after its includes; gcc and clang each have a way of their own.
#pragma once

#define KEELSON_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define KEELSON_TARGET_PUSH(isa) KEELSON_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define KEELSON_TARGET_POP KEELSON_PRAGMA(clang attribute pop)
#else
#define KEELSON_TARGET_PUSH(isa) KEELSON_PRAGMA(GCC push_options) KEELSON_PRAGMA(GCC target(isa))
#define KEELSON_TARGET_POP KEELSON_PRAGMA(GCC pop_options)
#endif
