/* What hand-written and printed kernels share. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "only for little-endian machines"
#endif
#if defined(SNN_CLONES)
#define CLONES_OF(...) __attribute__((target_clones(__VA_ARGS__, "default")))
#else
#define CLONES_OF(...)
#endif
#define INLINE static inline __attribute__((always_inline))
#define SIMD _Pragma("omp simd")
#define BLOCK 4    /* rows that share one pass over the weights */
#define PADDED(num) (((num) * (int64_t)sizeof(REAL) + 63) / 64 * 64 / (int64_t)sizeof(REAL)) /* whole vectors of 64 bytes */
#define MANY 0.45  /* share of neurons that spike in a step above which a product of matrices is faster */

/* Adds and multiplies in one instruction where there is one: where rounding need not be that of the eager form. */
#if defined(__clang__) /* says it of a block, gcc of a function */
#define FUSED
#define FUSED_BLOCK _Pragma("clang fp contract(fast)")
#else
#define FUSED __attribute__((optimize("fp-contract=fast")))
#define FUSED_BLOCK
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* What depends on the width of vectors is there for each that processors may have, PLAIN the one that all have here;
 * BEST(f) is the widest at hand. (gcc keeps arrays of wider vectors than there are in memory, ten times slower.) */
#if defined(SNN_CLONES)
#define PLAIN 16
#define BEST(f) (__builtin_cpu_supports("avx512f") ? NAME(f##_512) \
    : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? NAME(f##_256) : NAME(f##_plain))
#else
#if defined(__AVX512F__)
#define PLAIN 64
#elif defined(__AVX2__)
#define PLAIN 32
#else
#define PLAIN 16
#endif
#define BEST(f) NAME(f##_plain)
#endif

/* Part of the samples: rows row0 to row1. */
typedef struct {
    int64_t row0, row1;
} Part;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Says that fresh memory is about to be filled: large pages spare most of the page faults. */
static void expect(void *memory, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = 1 << 21, start = ((uintptr_t)memory + page - 1) & ~(page - 1);
    const uintptr_t stop = ((uintptr_t)memory + bytes) & ~(page - 1);
    if (stop > start) madvise((void *)start, stop - start, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

/* Whether results go past the caches: more than this are no longer there when they are read. */
#define LARGE (4 << 20)
static int worth_streaming(const void *to, int64_t row_bytes, int64_t rows) {
#if defined(__SSE2__)
    return row_bytes * rows >= LARGE && ((uintptr_t)to | row_bytes) % 16 == 0;
#else
    (void)to, (void)row_bytes, (void)rows;
    return 0;
#endif
}
INLINE void stream(void *to, const void *from, int64_t bytes) {
#if defined(__SSE2__)
    for (int64_t k = 0; k < bytes / 16; k++) _mm_stream_si128((__m128i *)to + k, _mm_load_si128((const __m128i *)from + k));
#else
    memcpy(to, from, bytes);
#endif
}
/* What was streamed is there for other threads. */
INLINE void streamed(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* Rows of a task of a layer with weights among its `num` neurons: a multiple of BLOCK that gives every thread something.
 * Few stay in cache with all states of a stretch, many share a pass over weights that do not. */
static int64_t rows_of_task(int64_t rows, int64_t num, int64_t threads) {
    const int64_t each = (rows + threads - 1) / threads;
    return smaller(num < 512 ? 8 : 16, (each + BLOCK - 1) / BLOCK * BLOCK);
}

#define AT_ONCE 4 /* events that are written together: lists have room for as many more than there may be */

/* 64 bytes that are 0 or 1 as bits, the first one lowest. */
INLINE uint64_t packed(const uint8_t *flags) {
    uint64_t bits = 0;
#if defined(__SSE2__)
    for (int k = 0; k < 4; k++) {
        const __m128i highest = _mm_slli_epi16(_mm_loadu_si128((const __m128i *)flags + k), 7);
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(highest) << 16 * k;
    }
#else
    for (int k = 0; k < 8; k++) {
        uint64_t eight;
        memcpy(&eight, flags + 8 * k, 8);
        bits |= (eight * 0x0102040810204080u >> 56) << 8 * k; /* the first byte is the lowest: little-endian */
    }
#endif
    return bits;
}
