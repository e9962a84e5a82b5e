/* For vectors of VECTOR bytes: V(f) names what is for them, TARGET says which processors have them. */
#undef TARGET
#undef V
#undef WIDTH
#undef HELD
#if defined(SNN_CLONES) && VECTOR == 64
#define TARGET FUSED __attribute__((target("avx512f"), noinline))
#define V(f) NAME(f##_512)
#elif defined(SNN_CLONES) && VECTOR == 32
#define TARGET FUSED __attribute__((target("avx2,fma"), noinline))
#define V(f) NAME(f##_256)
#else
#define TARGET FUSED __attribute__((noinline))
#define V(f) NAME(f##_plain)
#endif
#define WIDTH (VECTOR / (int64_t)sizeof(REAL)) /* numbers of a vector */
#define HELD (VECTOR < 64 ? 8 : 4)             /* vectors of a sum that stay in registers; of the widest two sets */
