{
  'targets': [
    {
      'target_name': 'keelson',
      # Each file of another processor's instructions is empty on this one.
      'sources': [
        'native/addon.cc',
        'native/cpu.cc',
        'native/views.cc',
        'native/place_thread.cc',
        'native/self_test.cc',
        'native/gf256/field.cc',
        'native/gf256/plan.cc',
        'native/gf256/check.cc',
        'native/gf256/bound_call.cc',
        'native/gf256/dispatch.cc',
        'native/gf256/apply_scalar.cc',
        'native/gf256/apply_ssse3.cc',
        'native/gf256/apply_avx2.cc',
        'native/gf256/apply_avx2_gfni.cc',
        'native/gf256/apply_avx512.cc',
        'native/gf256/apply_avx512_gfni.cc',
        'native/gf256/apply_neon.cc',
        'native/gf256/exports.cc',
        'native/crc32c/dispatch.cc',
        'native/crc32c/crc_table.cc',
        'native/crc32c/crc_sse42.cc',
        'native/crc32c/crc_pclmul.cc',
        'native/crc32c/crc_vpclmul.cc',
        'native/crc32c/crc_armv8.cc',
        'native/crc32c/is_zero.cc',
        'native/crc32c/exports.cc',
        'native/io/device.cc',
        'native/io/ring_core.cc',
        'native/io/ring.cc',
      ],
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")", 'native'],
      # SWALLOW: an error met in a worker that is being terminated cannot be thrown into JavaScript any more; without it the process would be aborted.
      'defines': [
        'NAPI_VERSION=9',
        'NAPI_CPP_EXCEPTIONS',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'cflags!': ['-O3', '-fno-exceptions'],
      'cflags_cc!': ['-O3', '-fno-exceptions', '-fno-rtti', '-std=gnu++14', '-std=gnu++17', '-std=gnu++20'],
      # -fno-tree-ter: without it gcc reorders the unrolled kernels until their accumulators spill (10+4 loses half its speed).
      'cflags_cc': ['-std=c++17', '-O2', '-fno-tree-ter', '-fvisibility=hidden', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Wno-cast-function-type'],
      # nodelete: the code must stay mapped when the last worker that loaded it ends while another thread is still inside.
      'ldflags': ['-Wl,-z,nodelete'],
    },
  ],
}
